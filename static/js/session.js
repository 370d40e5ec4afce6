// The live page of a session: shows when the connection is lost, and follows the end of the log.

const FURTHEST_RETRY_MS = 5000;

htmx.config.wsReconnectDelay = (retries) => Math.min(FURTHEST_RETRY_MS, 250 * 2 ** retries) * (0.5 + Math.random() / 2);

const log = () => document.getElementById("session-log-lines");
const atEnd = (list) => list.scrollHeight - list.scrollTop - list.clientHeight < 30;

let following = true;

function follow() {
  const list = log();
  if (list && following) list.scrollTop = list.scrollHeight;
}

function lookWhetherFollowed() {
  following = !log() || atEnd(log());
}

function showOffline(offline) {
  document.getElementById("offline").hidden = !offline;
}

document.addEventListener("DOMContentLoaded", follow);
document.addEventListener("lathe:beforeSwap", lookWhetherFollowed);
document.addEventListener("lathe:afterSwap", follow);
// The bell has a socket of its own, which says nothing about this page.
const ofPage = (handle) => (event) => event.target.closest(".bell-place") || handle();
document.addEventListener("htmx:wsBeforeMessage", ofPage(lookWhetherFollowed));
document.addEventListener("htmx:wsAfterMessage", ofPage(follow));
document.addEventListener("htmx:wsOpen", ofPage(() => showOffline(false)));
document.addEventListener("htmx:wsClose", ofPage(() => showOffline(true)));
