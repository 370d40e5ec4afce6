// Starts Netron's viewer on the version's file. Netron's own start script contacts other hosts and may refuse to
// start; this one only draws.

import { Host } from "../vendor/netron/browser.js";
import { View } from "../vendor/netron/view.js";

const TRIES = 50;

const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;

class PortalHost extends Host {
  async view(view) {
    this._view = view;
  }

  // Netron looks for its own files next to the page; here they are relative to the page's base URL.
  _url(file) {
    return new URL(file.replace(/^\.?\//, ""), document.baseURI).href;
  }

  async start() {
    await this._openModel(meta("model-url"), meta("model-name"), meta("model-name"));
    await this._show(meta("model-node"));
  }

  // Opens at the node of that name. The graph is laid out after the file is read, so it is looked for a few times.
  async _show(name) {
    for (let tries = 0; name && tries < TRIES; tries += 1) {
      const node = this._view.activeTarget?.nodes?.find((one) => one.name === name);
      const shown = node && this._view._target ? this._view._target.activate(node, "sidebar") : [];
      if (shown && shown.length) {
        this._view._target.scrollTo(shown);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

window.__view__ = new View(new PortalHost());
window.__view__.start();
