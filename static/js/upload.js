// Uploads a form's file in chunks before the form is sent, with progress, and resumes after a lost connection or a
// reload. Without this script, the form sends the file itself.

const CHUNK_BYTES = 8 * 1024 * 1024;
const RETRIES = 6;
const WAIT_MS = 1000;

// The sentences of this script, in the reader's language, as the page has them: `words.lost`.
const words = document.querySelector("[data-progress]").dataset;
const filled = (sentence, values) => sentence.replace(/{(\w+)}/g, (_, name) => values[name]);

const csrf = () => JSON.parse(document.body.getAttribute("hx-headers"))["x-csrftoken"];

class Refused extends Error {
  constructor(message, code = "") {
    super(message);
    this.code = code;
  }
}

async function call(url, options = {}) {
  const headers = { Accept: "application/json", "X-CSRFToken": csrf(), ...options.headers };
  const response = await fetch(url, { credentials: "same-origin", ...options, headers });
  return { response, body: response.status === 204 ? null : await response.json().catch(() => null) };
}

function refuse({ response, body }) {
  throw new Refused(body?.detail ?? filled(words.answered, { status: response.status }), body?.code);
}

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Retries `attempt` with growing delays while the connection or the server fails. A refusal is final.
async function patiently(attempt, say) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (error instanceof Refused || error.name === "AbortError" || tries === RETRIES) throw error;
      say(words.lost);
      await wait(WAIT_MS * 2 ** tries);
    }
  }
}

const memory = (file) => `upload:${file.name}:${file.size}:${file.lastModified}`;

// The upload started earlier for this file, if it still exists; otherwise a new one.
async function standing(form, file, signal) {
  const known = localStorage.getItem(memory(file));
  if (known) {
    const found = await call(`${form.dataset.uploads}${known}/`, { signal });
    if (found.response.ok) return found.body;
    localStorage.removeItem(memory(file));
  }
  const begun = await call(form.dataset.uploads, {
    method: "POST",
    signal,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ filename: file.name, size_bytes: file.size, team: form.dataset.team }),
  });
  if (begun.response.status >= 500) throw new Error("server");
  if (!begun.response.ok) refuse(begun);
  localStorage.setItem(memory(file), begun.body.id);
  return begun.body;
}

async function sendPiece(url, file, offset, signal) {
  const sent = await call(url, {
    method: "PATCH",
    signal,
    headers: { "Content-Type": "application/octet-stream", "Upload-Offset": String(offset) },
    body: file.slice(offset, offset + CHUNK_BYTES),
  });
  const stands = sent.response.headers.get("Upload-Offset");
  if (sent.response.ok || (sent.response.status === 409 && stands !== null)) return Number(stands);
  if (sent.response.status >= 500 || sent.response.status === 429) throw new Error("server");
  return refuse(sent);
}

async function sendFile(form, file, show, signal) {
  const upload = await patiently(() => standing(form, file, signal), show.say);
  const url = `${form.dataset.uploads}${upload.id}/`;
  const begin = { offset: upload.received_bytes, at: performance.now() };
  let offset = begin.offset;
  show.progress(offset, file.size, begin);
  while (offset < file.size) {
    const from = offset;
    offset = await patiently(() => sendPiece(url, file, from, signal), show.say);
    show.progress(offset, file.size, begin);
  }
  localStorage.removeItem(memory(file));
  return upload.id;
}

const size = (bytes) => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${(bytes / 1e6).toFixed(1)} MB`);

function left(seconds) {
  if (seconds < 60) return filled(words.seconds, { seconds: Math.max(1, Math.round(seconds)) });
  return filled(words.minutes, { minutes: Math.floor(seconds / 60), seconds: Math.round(seconds % 60) });
}

// The progress display of an upload: a bar, the uploaded size, and an estimate.
function display(form) {
  const box = form.querySelector("[data-progress]");
  const bar = box.querySelector("progress");
  const text = box.querySelector("[data-progress-text]");
  return {
    open(open) {
      box.hidden = !open;
    },
    say(sentence) {
      text.textContent = sentence;
    },
    progress(offset, total, begin) {
      bar.value = offset / total;
      const seconds = (performance.now() - begin.at) / 1000;
      const sent = offset - begin.offset;
      const estimate = sent > 0 && offset < total ? ` · ${left(((total - offset) * seconds) / sent)}` : "";
      const state = filled(words.sent, { sent: size(offset), total: size(total) }) + estimate;
      text.textContent = offset < total ? state : words.checking;
    },
  };
}

function complain(form, sentence, code = "") {
  const place = form.querySelector("[data-upload-error]");
  place.textContent = sentence;
  if (code) place.append(" ", Object.assign(document.createElement("code"), { textContent: code }));
  place.hidden = !sentence;
}

async function submit(form, event) {
  const input = form.querySelector("input[type=file]");
  const file = input.files[0];
  if (!file) return; // the form itself reports what is missing, or already names an upload
  event.preventDefault();
  complain(form, "");
  const show = display(form);
  const buttons = form.querySelectorAll("button[type=submit]");
  const stop = new AbortController();
  const cancel = form.querySelector("[data-cancel]");
  cancel.onclick = () => stop.abort();
  const pressed = event.submitter;
  buttons.forEach((button) => (button.disabled = true));
  show.open(true);
  cancel.focus(); // the button that had the focus is disabled
  try {
    form.querySelector("input[name=upload]").value = await sendFile(form, file, show, stop.signal);
    input.disabled = true; // already uploaded: the form sends only the upload's id
    form.submit();
  } catch (error) {
    buttons.forEach((button) => (button.disabled = false));
    if (document.activeElement === cancel) pressed?.focus();
    show.open(false);
    if (error.name === "AbortError") complain(form, words.stopped);
    else if (error instanceof Refused) complain(form, error.message, error.code);
    else complain(form, words.away);
  }
}

// Drag and drop, and the chosen file's name in the drop zone.
function dropZone(form) {
  const zone = form.querySelector("[data-drop]");
  const input = form.querySelector("input[type=file]");
  const chosen = zone.querySelector("[data-chosen]");
  const show = () => {
    const [file] = input.files;
    chosen.textContent = file ? `${file.name} · ${size(file.size)}` : "";
    if (file) form.querySelector("input[name=upload]").value = "";
    const name = form.querySelector("input[name=name]");
    if (file && name && !name.value) name.placeholder = file.name.replace(/\.[^.]+$/, "");
  };
  input.addEventListener("change", show);
  for (const type of ["dragenter", "dragover"]) {
    zone.addEventListener(type, (event) => {
      event.preventDefault();
      zone.dataset.over = "";
    });
  }
  for (const type of ["dragleave", "drop"]) zone.addEventListener(type, () => delete zone.dataset.over);
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    if (!event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    show();
  });
}

// Fields that belong to one choice only: `data-show-when="kind=images"`.
function dependentFields(form) {
  const update = () => {
    for (const part of form.querySelectorAll("[data-show-when]")) {
      const [name, values] = part.dataset.showWhen.split("=");
      part.hidden = !values.split(" ").includes(form.elements[name].value);
    }
  };
  form.addEventListener("change", update);
  update();
}

for (const form of document.querySelectorAll("form[data-uploads]")) {
  dropZone(form);
  dependentFields(form);
  form.addEventListener("submit", (event) => submit(form, event));
}
