// What a page does beyond being read: dark mode, copying, language tabs, the heading that one is at, the menu.
const root = document.documentElement;

const keep = (name, value) => {
  try {
    localStorage.setItem(name, value);
  } catch {
    // storage is switched off: the choice lasts as long as the page
  }
};

// Dark mode.
const themeButton = document.querySelector(".theme");
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches);
const showTheme = () => themeButton.setAttribute("aria-pressed", String(isDark()));
themeButton.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  keep("tallygate-theme", root.dataset.theme);
  showTheme();
});
prefersDark.addEventListener("change", showTheme);
showTheme();

// Copying.
for (const button of document.querySelectorAll(".copy")) {
  const code = button.parentElement.querySelector("code");
  let back;
  button.addEventListener("click", async () => {
    let said = "Copied";
    try {
      await navigator.clipboard.writeText(code.textContent.trimEnd() + "\n");
    } catch {
      getSelection().selectAllChildren(code); // no clipboard without a secure address: select it at least
      said = "Selected";
    }
    button.textContent = said;
    clearTimeout(back);
    back = setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}

// Language tabs: one choice for all groups, kept. A group without the chosen language shows its first.
const groups = [...document.querySelectorAll(".tabs")];
groups.forEach((group, i) => {
  const tabs = [...group.querySelectorAll("[role=tab]")];
  tabs.forEach((tab, j) => {
    const panel = group.querySelector(`.panel[data-tab="${tab.dataset.tab}"]`);
    panel.id = `panel-${i}-${j}`;
    panel.setAttribute("role", "tabpanel");
    tab.setAttribute("aria-controls", panel.id);
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(j + step + tabs.length) % tabs.length];
      choose(next);
      next.focus();
    });
  });
});

const showTabs = () => {
  for (const group of groups) {
    const has = group.dataset.tabs.split(" ");
    const chosen = has.includes(root.dataset.tab) ? root.dataset.tab : has[0];
    for (const tab of group.querySelectorAll("[role=tab]")) {
      const selected = tab.dataset.tab === chosen;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
    }
  }
};

const choose = (tab) => {
  const before = tab.getBoundingClientRect().top;
  root.dataset.tab = tab.dataset.tab;
  keep("tallygate-tab", root.dataset.tab);
  showTabs();
  scrollBy({ top: tab.getBoundingClientRect().top - before, behavior: "instant" }); // groups above grew or shrank
};
showTabs();

// The heading that one is at.
const entries = new Map([...document.querySelectorAll(".toc a")].map((a) => [decodeURIComponent(a.hash.slice(1)), a]));
if (entries.size > 0) {
  const headings = [...entries.keys()].map((id) => document.getElementById(id)).filter(Boolean);
  const mark = () => {
    let at = headings[0];
    for (const heading of headings) if (heading.getBoundingClientRect().top < 120) at = heading;
    for (const [id, a] of entries) {
      if (id === at.id) a.setAttribute("aria-current", "true");
      else a.removeAttribute("aria-current");
    }
  };
  let due = false;
  addEventListener("scroll", () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      mark();
    });
  }, { passive: true });
  mark();
}

// The menu of narrow screens is the navigation as a target; Escape leaves it. The page one is at is brought into view.
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && location.hash === "#nav") location.hash = "";
});
const here = document.querySelector(".pages [aria-current]");
if (here) {
  const nav = here.closest(".pages");
  nav.scrollTop = here.offsetTop - nav.clientHeight / 2;
}
