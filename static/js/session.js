// The live page of a session: shows when the connection is lost, and keeps focus, scroll position and what is unfolded
// when a push replaces a part.

const FURTHEST_RETRY_MS = 5000;

htmx.config.wsReconnectDelay = (retries) => Math.min(FURTHEST_RETRY_MS, 250 * 2 ** retries) * (0.5 + Math.random() / 2);

const log = () => document.getElementById("session-log-lines");
const atEnd = (list) => list.scrollHeight - list.scrollTop - list.clientHeight < 30;

let place = { following: true, top: 0, focused: "", open: [] };

function remember() {
  const list = log();
  place = {
    following: !list || atEnd(list),
    top: list?.scrollTop ?? 0,
    focused: document.activeElement?.id ?? "",
    open: [...document.querySelectorAll("details[id][open]")].map((details) => details.id),
  };
}

function restore() {
  const list = log();
  if (list) list.scrollTop = place.following ? list.scrollHeight : place.top;
  for (const id of place.open) document.getElementById(id)?.setAttribute("open", "");
  if (place.focused && document.activeElement === document.body) document.getElementById(place.focused)?.focus();
}

function showOffline(offline) {
  document.getElementById("offline").hidden = !offline;
}

document.addEventListener("DOMContentLoaded", restore);
for (const name of ["htmx:wsBeforeMessage", "lathe:beforeSwap"]) document.addEventListener(name, remember);
for (const name of ["htmx:wsAfterMessage", "lathe:afterSwap"]) document.addEventListener(name, restore);
document.addEventListener("htmx:wsOpen", () => showOffline(false));
document.addEventListener("htmx:wsClose", () => showOffline(true));
