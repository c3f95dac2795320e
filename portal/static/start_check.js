// Shows a message if the page's modules don't run: the browser is too old, or one of them failed to load. Not a module
// itself, and written for browsers of 2012.
window.addEventListener("load", function () {
  if (document.documentElement.getAttribute("data-started") === null) {
    document.getElementById("not-started").removeAttribute("hidden");
  }
});
