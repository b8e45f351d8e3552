// Runs before anything is drawn, so that what the reader chose (dark or light, the language of samples) is there from
// the first picture on.
(() => {
  const root = document.documentElement;
  const kept = (name) => {
    try {
      return localStorage.getItem(name);
    } catch {
      return null; // storage is switched off: the choice lasts as long as the page
    }
  };
  root.classList.add("js");
  const theme = kept("tallygate-theme");
  if (theme === "dark" || theme === "light") root.dataset.theme = theme;
  const tab = kept("tallygate-tab");
  root.dataset.tab = ["curl", "go", "python", "typescript"].includes(tab) ? tab : "curl";
})();
