// The table of layers beside the graph: a row shows its node there, and a node that is chosen there marks its row.

const part = (name) => document.getElementById(`layers-${name}`);
const [frame, said, acts, toRow, keep] = ["graph", "said", "acts", "row", "keep-one"].map(part);
const rows = [...document.querySelectorAll("tr[data-layer]")];
const unsaid = said.textContent;
const rowOf = (layer) => rows.find((row) => row.dataset.layer === layer);
const isBeside = () => part("beside").getBoundingClientRect().left > rows[0].getBoundingClientRect().left;

let wanted = "";

// Marks the row of a layer, and offers what can be done with it. Nodes that are no layers have no row.
function mark(row, sentence) {
  for (const one of rows) one === row ? one.setAttribute("aria-current", "true") : one.removeAttribute("aria-current");
  said.textContent = sentence || unsaid;
  acts.hidden = !row;
  if (!row) return;
  toRow.setAttribute("href", `#${row.id}`);
  if (keep) keep.value = row.dataset.layer;
}

function show(row) {
  wanted = row.dataset.layer;
  mark(row, wanted);
  frame.contentWindow.postMessage({ show: wanted }, location.origin);
  if (!isBeside()) part("beside").scrollIntoView({ block: "nearest" });
}

function hear({ ready, missing, chosen }) {
  if (ready && wanted) frame.contentWindow.postMessage({ show: wanted }, location.origin);
  if (missing) said.textContent = said.dataset.missing.replace("{layer}", missing);
  if (chosen === undefined) return;
  wanted = chosen;
  const row = rowOf(chosen);
  mark(row, chosen);
  if (row && isBeside()) row.scrollIntoView({ block: "nearest" });
}

addEventListener("message", (event) => {
  if (event.source === frame.contentWindow && event.origin === location.origin) hear(event.data);
});

document.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-layer]");
  const control = event.target.closest("a, label, input");
  const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey; // a new tab or window
  if (!row || elsewhere || (control && !control.matches("[data-show]"))) return;
  event.preventDefault();
  show(row);
});

toRow.addEventListener("click", (event) => {
  event.preventDefault();
  document.querySelector("tr[aria-current] [data-show]").focus();
});
