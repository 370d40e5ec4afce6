// Code for every page: the theme, the time zone, the menu on narrow screens, and confirmations before irreversible actions.
// Loaded before the first paint so that a chosen theme never flashes.

const root = document.documentElement;
const stored = localStorage.getItem("theme");
if (stored) root.dataset.theme = stored;

function isDark() {
  if (root.dataset.theme) return root.dataset.theme === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

function toggleTheme() {
  root.dataset.theme = isDark() ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
  document.dispatchEvent(new CustomEvent("themechange"));
}

// The server shows times in this zone until the member chooses another.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone) document.cookie = `time_zone=${encodeURIComponent(zone)}; path=/; max-age=31536000; SameSite=Lax`;

document.addEventListener("click", (event) => {
  const control = event.target.closest("[data-action]");
  if (!control) return;
  if (control.dataset.action === "theme") toggleTheme();
  if (control.dataset.action === "menu") {
    const side = control.closest(".side");
    const open = side.toggleAttribute("data-open");
    control.setAttribute("aria-expanded", String(open));
  }
  if (control.dataset.action === "print") print();
  if (control.dataset.action === "copy") copy(control, document.getElementById(control.dataset.target));
  if (control.dataset.action === "copy-link") copy(control, null);
});

const SAID_MS = 3000;

// Copies the text of `source`, or else the page's address. Without HTTPS browsers let no page do it: then the text is
// selected for the reader to copy.
async function copy(control, source) {
  const text = source ? source.textContent.trim() : location.href;
  try {
    await navigator.clipboard.writeText(text);
    say(control, document.body.dataset.copied);
  } catch {
    getSelection().selectAllChildren(source ?? written(text, control));
    say(control, document.body.dataset.selected);
  }
}

function written(text, control) {
  const place = control.nextElementSibling?.matches("[data-written]") ? control.nextElementSibling : document.createElement("code");
  place.dataset.written = "";
  place.textContent = text;
  control.after(place);
  return place;
}

function say(control, sentence) {
  control.dataset.label ??= control.textContent;
  control.textContent = sentence;
  setTimeout(() => (control.textContent = control.dataset.label), SAID_MS);
}

// Skipping to the content leaves the address as it is: a form sent from there would come back to the content's begin, and
// not to what is wrong.
document.addEventListener("click", (event) => {
  if (!event.target.closest(".skip")) return;
  event.preventDefault();
  document.getElementById("content").focus();
});

// The list's filters change the address without loading the page, and what is saved is the present address.
document.addEventListener("submit", (event) => {
  const query = event.target.querySelector("[data-address-query]");
  if (query) query.value = location.search.slice(1);
});

document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm ?? event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});

// A button that acts on rows says how many are ticked for it.
document.addEventListener("change", (event) => {
  const chosen = event.target.form?.querySelector("[data-chosen]");
  if (!chosen || event.target.type !== "checkbox") return;
  const count = [...event.target.form.elements].filter((one) => one.name === event.target.name && one.checked).length;
  chosen.textContent = count ? document.body.dataset.chosenWords.replace("{count}", count) : "";
});

// A box above a column ticks all boxes of the name that it gives.
document.addEventListener("change", (event) => {
  const name = event.target.dataset.ticks;
  for (const box of name ? event.target.closest("table").querySelectorAll(`input[name="${name}"]`) : []) box.checked = event.target.checked;
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-autosubmit]")) event.target.form.requestSubmit();
});

function notify(sentence) {
  const place = document.getElementById("messages");
  const notice = document.createElement("p");
  notice.className = "notice notice-error";
  notice.textContent = sentence;
  place.replaceChildren(notice);
  place.hidden = false;
  return notice;
}

document.addEventListener("lathe:error", (event) => notify(event.detail.message));

// What a person asked for and did not get is said, until they ask again. A poll asks again by itself.
const isPersons = (event) => Boolean(event.detail.requestConfig.triggeringEvent);
let unmet = null;

document.addEventListener("htmx:beforeRequest", (event) => isPersons(event) && unmet?.remove());
for (const name of ["htmx:sendError", "htmx:timeout"])
  document.addEventListener(name, (event) => isPersons(event) && (unmet = notify(document.body.dataset.unsent)));
document.addEventListener("htmx:responseError", (event) => {
  const { xhr } = event.detail;
  const said = xhr.getResponseHeader("HX-Trigger"); // the sentence of the error itself
  if (isPersons(event) && !said) unmet = notify(document.body.dataset.unmet.replace("{status}", xhr.status));
});

// Paper cannot be unfolded: a print has everything, and the page is as before afterwards.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("main details:not([open])")];
  for (const fold of folded) fold.open = true;
});
addEventListener("afterprint", () => {
  for (const fold of folded) fold.open = false;
});

// After a failed submit, the first invalid field gets the focus, or else what is said of the whole form. A URL with a
// fragment opens the element that hides its target, and puts the cursor into a field.
function reveal() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let fold = target && target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  if (!target) return;
  target.scrollIntoView();
  if (target.matches("input, select, textarea")) target.focus();
}

addEventListener("hashchange", reveal);
document.addEventListener("DOMContentLoaded", () => {
  (document.querySelector("main [aria-invalid=true]") ?? document.querySelector("main [data-errors]"))?.focus();
  reveal();
});
