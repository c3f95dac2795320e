// Says so where the page's modules do not run: in a browser older than they are written for, or because one of them did not
// arrive. No module itself, and written as browsers of 2012 can read it.
window.addEventListener("load", function () {
  if (document.documentElement.getAttribute("data-started") === null) {
    document.getElementById("not-started").removeAttribute("hidden");
  }
});
