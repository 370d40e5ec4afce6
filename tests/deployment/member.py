"""A member at another host: logs in through the proxy, optimizes a model by API, and watches the page's WebSocket.

python -m tests.deployment.member URL E-MAIL PASSWORD TOKEN
"""

from __future__ import annotations

import re
import ssl
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from websockets.sync.client import connect

from lathe_client.client import Lathe
from lathe_client.store import Store

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
CRITERIA = {
    "allowed_techniques": ["onnx-dynamic-int8"],
    "budget": {"minutes": 5, "candidates": 1},
    "constraints": {"max_metric_drop_points": 5},
}
ENOUGH_S = 900.0


def logged_in(url: str, email: str, password: str) -> httpx.Client:
    """A browser's session, by the form of the login page."""
    browser = httpx.Client(base_url=url, follow_redirects=True, timeout=30, verify=ssl.create_default_context())
    page = browser.get("/accounts/login/")
    field = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert field, f"no login page, but {page.status_code}"
    form = {"csrfmiddlewaretoken": field[1], "login": email, "password": password}
    answer = browser.post("/accounts/login/", data=form, headers={"Referer": f"{url}/accounts/login/"})
    assert "sessionid" in browser.cookies, f"not logged in: {answer.status_code}"
    secure = {cookie.name: cookie.secure for cookie in browser.cookies.jar}
    assert all(secure.values()), "cookies must be sent over TLS only"
    return browser


class Watcher(threading.Thread):
    """Counts what the portal pushes to the page of a session."""

    def __init__(self, url: str, browser: httpx.Client, session: str) -> None:
        super().__init__(daemon=True)
        self.pushed: list[str] = []
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies.jar)
        self._socket = connect(
            f"wss://{urlsplit(url).netloc}/ws/sessions/{session}/",
            additional_headers={"Cookie": cookies},
            origin=url,  # type: ignore[arg-type]
            ssl=ssl.create_default_context(),
        )

    def run(self) -> None:
        for message in self._socket:
            self.pushed.append(str(message))

    def leave(self) -> None:
        self._socket.close()
        self.join(10)


def main() -> None:
    url, email, password, token = sys.argv[1:]
    browser = logged_in(url, email, password)
    with Lathe(url, token) as portal:
        store = Store(portal)
        version = store.version(str(SAMPLES / "fashion_mobilenet.onnx"))
        spec = {"kind": "npz", "task": "classification"}
        data = store.dataset(str(SAMPLES / "fashion_mnist_test.npz"), name="pictures", spec=spec)
        session = portal.post("sessions/", {"version": version["id"], "dataset": data["id"], "criteria": CRITERIA})
        watcher = Watcher(url, browser, session["id"])
        watcher.start()
        ended = portal.ended(session["id"], timeout_s=ENOUGH_S)
        watcher.leave()
    assert browser.get(f"/sessions/{session['id']}/").status_code == 200
    assert any("id=" in one for one in watcher.pushed), "nothing was pushed to the session's page"
    print(
        f"The session {ended['status']} ({ended['outcome']}); {len(watcher.pushed)} fragments were pushed to its page."
    )
    assert ended["status"] == "completed", ended


if __name__ == "__main__":
    main()
