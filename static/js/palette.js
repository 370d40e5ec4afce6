// The palette (Ctrl or ⌘ and K), and shortcuts of single keys, which the list of shortcuts can switch off.

const palette = document.getElementById("palette");
const shortcuts = document.getElementById("shortcuts");
const words = palette.querySelector("[role=combobox]");
const options = document.getElementById("palette-options");
const singleKeys = document.getElementById("single-keys");
const DESTINATIONS = { d: "/", s: "/sessions/", m: "/models/", t: "/datasets/", c: "/criteria/" };
const SEQUENCE_MS = 1500;

function openPalette() {
  if (palette.open) return;
  palette.showModal();
  words.select();
  htmx.trigger(words, "palette");
}

function choose(option) {
  options.querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
  if (!option) return words.removeAttribute("aria-activedescendant");
  option.setAttribute("aria-selected", "true");
  words.setAttribute("aria-activedescendant", option.id);
  option.scrollIntoView({ block: "nearest" });
}

words.addEventListener("keydown", (event) => {
  const all = [...options.querySelectorAll("[role=option]")];
  const chosen = all.findIndex((option) => option.ariaSelected === "true");
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const step = event.key === "ArrowDown" ? 1 : -1;
    choose(all[(chosen + step + all.length) % all.length]);
    event.preventDefault();
  }
  if (event.key === "Enter") enter(event, all[chosen]);
});

// The options belong to the words that were asked for last. Enter waits until these are the ones that are typed.
let asked = null;
let shown = null;
let entering = false;

function enter(event, option) {
  if (words.value === shown && !option) return; // the form opens the page of the search
  event.preventDefault();
  if (words.value === shown) return option.click();
  entering = true;
  htmx.trigger(words, "palette");
}

words.addEventListener("input", () => (entering = false));
words.addEventListener("htmx:beforeRequest", () => (asked = words.value));
for (const failure of ["htmx:responseError", "htmx:sendError", "htmx:timeout"])
  words.addEventListener(failure, () => entering && words.form.submit());

new MutationObserver(() => {
  const first = options.querySelector("[role=option]");
  shown = asked;
  choose(first);
  if (!entering || words.value !== shown) return;
  entering = false;
  if (palette.open) first ? first.click() : words.form.submit();
}).observe(options, { childList: true });

palette.addEventListener("click", (event) => {
  if (event.target === palette) palette.close();
});

// A link may lead to a part of the page that the palette is over, and a script works on that page.
options.addEventListener("click", (event) => event.target.closest("a, [data-action]") && palette.close());

document.addEventListener("click", (event) => {
  const control = event.target.closest("[data-action]");
  if (!control) return;
  if (control.dataset.action === "shortcuts") shortcuts.showModal();
  if (control.dataset.action !== "palette") return;
  event.preventDefault();
  openPalette();
});

singleKeys.checked = localStorage.getItem("single-keys") !== "off";
singleKeys.addEventListener("change", () => localStorage.setItem("single-keys", singleKeys.checked ? "on" : "off"));

let wentAt = -Infinity;

function pressedAlone(key) {
  const sequence = performance.now() - wentAt < SEQUENCE_MS;
  wentAt = -Infinity;
  if (sequence && DESTINATIONS[key]) return location.assign(DESTINATIONS[key]);
  if (key === "g") wentAt = performance.now();
  if (key === "n") location.assign("/sessions/new/");
  if (key === "/") openPalette();
  if (key === "?") shortcuts.showModal();
}

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") {
    event.preventDefault();
    return openPalette();
  }
  const writing = event.target.closest("input, textarea, select, [contenteditable]");
  const open = document.querySelector("dialog[open]");
  if (writing || open || event.ctrlKey || event.metaKey || event.altKey || event.repeat || !singleKeys.checked) return;
  if (event.key === "/") event.preventDefault();
  pressedAlone(event.key);
});
