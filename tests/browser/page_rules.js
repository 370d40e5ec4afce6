// Runs in the page as the body of a function; answers with a line for each trouble.

const found = [];
const seen = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
// A colour may be computed in any space (`color-mix` in oklab): what is painted of it counts.
const pen = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
const known = new Map();
const channels = (text) => {
  if (!known.has(text)) {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = text;
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    known.set(text, [r, g, b, a / 255]);
  }
  return known.get(text);
};
const luminance = ([r, g, b]) => {
  const linear = [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
};
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = channels(getComputedStyle(at).backgroundColor);
    if (colour[3] === 1) return colour;
  }
  return [255, 255, 255, 1];
};
const told = (element) => `${element.tagName.toLowerCase()} “${(element.textContent || element.outerHTML).trim().slice(0, 40)}”`;

const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const checked = new Set();
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (!texts.currentNode.textContent.trim() || checked.has(element)) continue;
  checked.add(element);
  if (!seen(element) || element.closest("svg, iframe, [hidden], .visually-hidden, .skip, option, :disabled")) continue;
  const style = getComputedStyle(element);
  const [light, dark] = [luminance(channels(style.color)), luminance(ground(element))].sort((a, b) => b - a);
  const ratio = (light + 0.05) / (dark + 0.05);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  if (ratio < (large ? 3 : 4.5)) found.push(`contrast ${ratio.toFixed(2)}: ${told(element)}`);
}

const named = (element) =>
  element.getAttribute("aria-label") || element.getAttribute("title") || element.textContent.trim() ||
  [...(element.labels ?? [])].some((label) => label.textContent.trim());
for (const element of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, progress, iframe, [role=img]"))
  if (seen(element) && !named(element)) found.push(`no name: ${element.outerHTML.slice(0, 80)}`);

let level = 0;
for (const heading of document.querySelectorAll("main :is(h1, h2, h3, h4)")) {
  if (!seen(heading)) continue;
  const next = Number(heading.tagName[1]);
  if (next > level + 1) found.push(`h${level} is followed by ${told(heading)}`);
  level = next;
}
if (document.querySelectorAll("h1").length !== 1) found.push(`${document.querySelectorAll("h1").length} h1`);

const ids = [...document.querySelectorAll("[id]")].filter((element) => !element.closest("svg")).map((element) => element.id);
const twice = ids.filter((id, place) => ids.indexOf(id) !== place);
if (twice.length) found.push(`ids used twice: ${[...new Set(twice)]}`);
for (const element of document.querySelectorAll("[aria-describedby], label[for], [aria-controls]"))
  for (const name of ["aria-describedby", "for", "aria-controls"])
    for (const id of (element.getAttribute(name) ?? "").split(" ").filter(Boolean))
      if (!document.getElementById(id)) found.push(`${name} names ${id}, which is not there`);

// The script that keeps what is unfolded across swaps finds it again by its id.
for (const fold of document.querySelectorAll("main :is([ws-connect], [hx-trigger*=every]) details:not([id])"))
  found.push(`folds at the next swap, as it has no id: ${told(fold.querySelector("summary"))}`);

return found;
