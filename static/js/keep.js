// What a reader has outlives a swap: the focus, the scroll position of what scrolls, and what is unfolded. What is swapped
// is found again by its id, or by its kind and name. The focus of a control that is gone goes to the part it was in.

const NAMED_BY = ["id", "href", "name", "value", "aria-label"];
const SCROLLING = "[tabindex]";
const FOCUSABLE = "a, button, input, select, textarea, summary, [tabindex]";

// Within their part, for a control without an id: what it is, and which of those that are alike.
const kindOf = (element) => NAMED_BY.map((name) => element.getAttribute(name) ?? "").join(" ");
const alike = (part, element) =>
  [...part.getElementsByTagName(element.tagName)].filter((one) => kindOf(one) === kindOf(element));

function placeOf(element) {
  const parts = [];
  for (let at = element.parentElement; at; at = at.parentElement) if (at.id) parts.push(at);
  const [part] = parts;
  return { element, parts: parts.map((one) => one.id), which: part ? alike(part, element).indexOf(element) : 0 };
}

function found({ element, parts, which }) {
  if (element.id) return document.getElementById(element.id);
  const part = document.getElementById(parts[0]);
  return part ? alike(part, element)[which] : null;
}

let kept = null;

function remember(within) {
  const focused = document.activeElement;
  kept = {
    focused: within.contains(focused) && focused !== document.body ? placeOf(focused) : null,
    unfolded: [...within.querySelectorAll("details[id][open]")].map((fold) => fold.id),
    scrolled: [...within.querySelectorAll(SCROLLING)]
      .filter((one) => one.scrollTop || one.scrollLeft)
      .map((one) => ({ ...placeOf(one), top: one.scrollTop, left: one.scrollLeft })),
  };
}

function focusAgain(place) {
  const wanted = [found(place), ...place.parts.map((id) => document.getElementById(id))].filter(Boolean);
  for (const one of wanted) {
    if (document.activeElement !== document.body) return;
    if (!one.matches(FOCUSABLE)) one.tabIndex = -1;
    one.focus({ preventScroll: true });
  }
}

function restore() {
  if (!kept) return;
  const { focused, unfolded, scrolled } = kept;
  kept = null;
  for (const id of unfolded) document.getElementById(id)?.setAttribute("open", "");
  for (const place of scrolled) found(place)?.scrollTo(place.left, place.top);
  if (focused) focusAgain(focused);
}

document.addEventListener("lathe:beforeSwap", () => remember(document.body));
document.addEventListener("lathe:afterSwap", restore);
for (const name of ["htmx:beforeSwap", "htmx:oobBeforeSwap"])
  document.addEventListener(name, (event) => event.detail.shouldSwap && remember(event.detail.target));
for (const name of ["htmx:afterSwap", "htmx:oobAfterSwap"]) document.addEventListener(name, restore);
