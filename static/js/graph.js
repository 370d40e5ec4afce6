// Starts Netron's viewer on the version's file. Netron's own start script contacts other hosts and may refuse to
// start; this one only draws.

import { Host } from "../vendor/netron/browser.js";
import { View } from "../vendor/netron/view.js";

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
  }
}

window.__view__ = new View(new PortalHost());
window.__view__.start();
