// Starts Netron's viewer on the version's file. Netron's own start script contacts other hosts and may refuse to
// start; this one only draws. A page around it may ask for a node, and is told which one is chosen.

import { Host } from "../vendor/netron/browser.js";
import { View } from "../vendor/netron/view.js";

const TRIES = 50;
const BETWEEN_MS = 200;

const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;
const tell = (message) => parent === window || parent.postMessage(message, location.origin);

// Netron takes the focus once the graph is drawn. Whoever is at work in the page around it keeps theirs.
const { focus } = HTMLElement.prototype;
HTMLElement.prototype.focus = function (options) {
  if (document.hasFocus()) focus.call(this, options);
};

class PortalHost extends Host {
  async view(view) {
    this._view = view;
    const before = view._events.selectionchange;
    let telling = 0; // Netron clears the old selection before it makes the new one
    view._events.selectionchange = () => {
      before();
      clearTimeout(telling);
      telling = setTimeout(() => tell({ chosen: this._chosen() }));
    };
  }

  // Netron looks for its own files next to the page; here they are relative to the page's base URL.
  _url(file) {
    return new URL(file.replace(/^\.?\//, ""), document.baseURI).href;
  }

  async start() {
    this._opened = this._openModel(meta("model-url"), meta("model-name"), meta("model-name"));
    addEventListener("message", ({ origin, data }) => origin === location.origin && data?.show && this._show(data.show));
    tell({ ready: true });
    await this._show(meta("model-node"), true);
  }

  _chosen() {
    const [first] = this._view._target?.selection ?? [];
    return first?.value?.name ?? "";
  }

  // Shows the node of that name; with `open`, also its attributes. The graph is laid out after the file is read, so it is
  // looked for a few times. What is asked for later takes its place.
  async _show(name, open = false) {
    this._wanted = name;
    await this._opened;
    for (let tries = 0; name && tries < TRIES && this._wanted === name; tries += 1) {
      if (this._reached(name, open)) return;
      await new Promise((resolve) => setTimeout(resolve, BETWEEN_MS));
    }
    if (name && this._wanted === name) tell({ missing: name });
  }

  _reached(name, open) {
    const target = this._view._target;
    const node = this._view.activeTarget?.nodes?.find((one) => one.name === name);
    if (!node || !target) return false;
    const shown = open ? target.activate(node, "sidebar") : target.select([node], "sidebar");
    if (shown?.length) target.scrollTo(shown);
    return Boolean(shown?.length);
  }
}

window.__view__ = new View(new PortalHost());
window.__view__.start();
