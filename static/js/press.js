// A press is never lost: what a push or a poll would replace under a pressed pointer or space bar waits for the release.

const LONGEST_PRESS_MS = 10000; // a release that nobody hears (outside the window, say) must not stop the page

const press = { control: null, timer: 0, waiting: new Map() };
const CONTROLS = "a, button, summary, label, input, select, textarea";

function hold(control) {
  clearTimeout(press.timer);
  press.control = control;
  press.timer = setTimeout(release, LONGEST_PRESS_MS);
}

function release() {
  if (!press.control) return;
  clearTimeout(press.timer);
  press.control = null;
  setTimeout(catchUp); // after the click, which follows the release
}

function catchUp() {
  if (press.control || !press.waiting.size) return;
  document.dispatchEvent(new CustomEvent("lathe:beforeSwap"));
  for (const [id, html] of press.waiting) htmx.swap(`#${id}`, html, { swapStyle: "outerHTML" });
  press.waiting.clear();
  document.dispatchEvent(new CustomEvent("lathe:afterSwap"));
}

const isUnder = (target) => press.control !== null && target.contains(press.control);

document.addEventListener("pointerdown", (event) => {
  const control = event.target.closest(CONTROLS);
  if (control) hold(control);
}, true);
document.addEventListener("keydown", (event) => {
  if (event.key === " " && !event.repeat && document.activeElement?.matches("button, summary")) hold(document.activeElement);
}, true);
for (const name of ["pointerup", "pointercancel", "keyup"]) document.addEventListener(name, release, true);
addEventListener("blur", release);

// A push over the socket is not repeated, so it is kept; the newest of a fragment counts.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const { target, fragment } = event.detail;
  press.waiting.delete(target.id);
  if (!isUnder(target)) return;
  event.detail.shouldSwap = false;
  press.waiting.set(target.id, fragment.firstElementChild.outerHTML);
});

// A poll asks again by itself. What the press itself has asked for is swapped at once.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, requestConfig } = event.detail;
  if (!requestConfig.triggeringEvent && isUnder(target)) event.detail.shouldSwap = false;
});
