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
document.addEventListener("lathe:beforeSwap", remember);
document.addEventListener("lathe:afterSwap", restore);
// The bell has a socket of its own, which says nothing about this page.
const ofPage = (handle) => (event) => event.target.closest(".bell-place") || handle();
document.addEventListener("htmx:wsBeforeMessage", ofPage(remember));
document.addEventListener("htmx:wsAfterMessage", ofPage(restore));
document.addEventListener("htmx:wsOpen", ofPage(() => showOffline(false)));
document.addEventListener("htmx:wsClose", ofPage(() => showOffline(true)));
