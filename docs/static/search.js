// Search in the browser: the index of all sections is loaded when the search is first opened.
const dialog = document.querySelector("dialog.search");
const opener = document.querySelector(".search-open");
const input = dialog.querySelector("input");
const list = dialog.querySelector("[role=listbox]");
const state = dialog.querySelector("[role=status]");
const most = 20;

let index;
const load = async () => {
  const answer = await fetch(opener.dataset.searchIndex);
  if (!answer.ok) throw new Error(`the index was answered ${answer.status}`);
  const entries = await answer.json();
  return entries.map((e) => ({ ...e, title: fold(e.t), head: fold(e.h ?? ""), body: fold(e.b) }));
};

const fold = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
const words = (text) => fold(text).split(/[^\p{L}\p{N}_-]+/u).filter(Boolean);
const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

// score is 0 where a word is nowhere to be found. A word counts where it begins one, more in a title than in a heading,
// more there than in the text, and more where it is the whole of it.
const score = (entry, wanted) => {
  let sum = 0;
  for (const word of wanted) {
    const begins = new RegExp(`(?<![\\p{L}\\p{N}])${escape(word)}`, "u");
    const whole = new RegExp(`(?<![\\p{L}\\p{N}])${escape(word)}(?![\\p{L}\\p{N}])`, "u");
    const in_ = (text, weight) => (whole.test(text) ? 1.5 * weight : begins.test(text) ? weight : 0);
    const title = in_(entry.title, entry.h ? 6 : 20);
    const head = in_(entry.head, 12);
    const body = in_(entry.body, 2) || (entry.body.includes(word) ? 1 : 0);
    if (title + head + body === 0) return 0;
    sum += title + head + body;
  }
  const phrase = wanted.join(" ");
  if (entry.head === phrase || (!entry.h && entry.title === phrase)) sum += 40;
  return sum;
};

const find = (query) => {
  const wanted = words(query);
  if (wanted.length === 0) return [];
  return index
    .map((entry, i) => ({ entry, i, score: score(entry, wanted) }))
    .filter((hit) => hit.score > 0)
    .sort((a, b) => b.score - a.score || a.i - b.i)
    .slice(0, most)
    .map((hit) => hit.entry);
};

// marked is the text as nodes, with the wanted words in <mark>.
const marked = (text, wanted) => {
  const pattern = new RegExp(`(${wanted.map(escape).join("|")})`, "giu");
  return text.split(pattern).map((part, i) => {
    if (i % 2 === 0) return document.createTextNode(part);
    const mark = document.createElement("mark");
    mark.textContent = part;
    return mark;
  });
};

// excerpt is what stands around the first wanted word.
const excerpt = (entry, wanted) => {
  const at = Math.min(...wanted.map((word) => entry.body.indexOf(word)).filter((n) => n >= 0));
  if (!Number.isFinite(at) || at < 60) return entry.b.slice(0, 160);
  const from = entry.b.indexOf(" ", at - 50) + 1;
  return "… " + entry.b.slice(from, from + 160);
};

const element = (name, className, ...children) => {
  const e = document.createElement(name);
  e.className = className;
  e.append(...children);
  return e;
};

let hits = [];
let at = -1;

const show = () => {
  const wanted = words(input.value);
  hits = find(input.value);
  list.replaceChildren(
    ...hits.map((entry, i) => {
      const a = element("a", "", element("strong", "", ...marked(entry.h ?? entry.t, wanted)));
      if (entry.h) a.append(element("span", "in", entry.t));
      a.append(element("span", "text", ...marked(excerpt(entry, wanted), wanted)));
      a.href = entry.u;
      a.tabIndex = -1;
      a.addEventListener("click", () => dialog.close());
      const item = element("li", "", a);
      item.id = `found-${i}`;
      item.setAttribute("role", "option");
      item.addEventListener("pointermove", () => select(i));
      return item;
    }),
  );
  input.setAttribute("aria-expanded", String(hits.length > 0));
  state.textContent = wanted.length === 0 ? "" : hits.length === 0 ? "Nothing was found." : `${hits.length}${hits.length === most ? " or more" : ""} found`;
  select(hits.length > 0 ? 0 : -1);
};

const select = (i) => {
  at = i;
  [...list.children].forEach((item, j) => item.setAttribute("aria-selected", String(i === j)));
  if (i < 0) {
    input.removeAttribute("aria-activedescendant");
    return;
  }
  input.setAttribute("aria-activedescendant", `found-${i}`);
  list.children[i].scrollIntoView({ block: "nearest" });
};

const open = async () => {
  if (dialog.open) return;
  dialog.showModal();
  input.select();
  if (index) return;
  try {
    index = await load();
    show();
  } catch (err) {
    state.textContent = `The search is not to be had: ${err.message}`;
  }
};

opener.addEventListener("click", open);
input.addEventListener("input", () => index && show());
input.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    if (hits.length > 0) select((at + (event.key === "ArrowDown" ? 1 : -1) + hits.length) % hits.length);
  }
  if (event.key === "Enter") {
    event.preventDefault();
    if (at >= 0) list.children[at].querySelector("a").click();
  }
});
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // beside it
});
addEventListener("keydown", (event) => {
  const typing = event.target instanceof Element && event.target.closest("input, textarea, select, [contenteditable]");
  if ((event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) || (event.key === "k" && (event.ctrlKey || event.metaKey))) {
    event.preventDefault();
    open();
  }
});
