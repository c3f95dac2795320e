// Sets the chosen theme before the first paint. Not a module, because those run after it.
{
  let theme = null;
  try {
    theme = localStorage.getItem("theme");
  } catch {
    // no storage in this browser
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
