"""(d) From an event in a worker to the page of a browser."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from benchmarks.installation import Place, wait_until
from benchmarks.load.form import Form
from benchmarks.load.report import Found, Table, percentile
from benchmarks.people import cookie_of, member, simulated_material
from benchmarks.truth.rows import Row

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

BOUND_MS = 200.0
EVERY_S = 1.0
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
# Every line of the log that appears, with the browser's time of its first appearance.
OBSERVER = """
window.arrived = {};
const look = () => {
    const now = Date.now() / 1000;
    for (const found of (document.querySelector('#session-log')?.textContent ?? '').matchAll(/told at ([0-9.]+)/g))
        window.arrived[found[1]] ??= now;
};
look();
window.known = Object.keys(window.arrived);
new MutationObserver(look).observe(document.body, {childList: true, subtree: true, characterData: true});
"""
ARRIVED = "return Object.entries(window.arrived).filter(([told]) => !window.known.includes(told))"


def found(form: Form, place: Place) -> Found:
    heading = "From a worker to the page"
    if not (CHROMIUM and DRIVER):
        row = Row("an event is seen in time", f"≤ {BOUND_MS:.0f} ms", "no chromium and chromedriver here", None)
        return Found(heading, "Not measured.", (row,))
    lasts_s = 60 + 2 * EVERY_S * form.events
    simulated = {"candidates": 1, "shortest_s": lasts_s, "longest_s": lasts_s, "tell_every_s": EVERY_S}
    with place.web() as web, place.simulated_workers(1, **simulated):
        session, cookie = _session()
        with browser(web.url, cookie) as driver:
            driver.get(f"{web.url}/sessions/{session.pk}/")
            driver.execute_script(OBSERVER)
            wait_until(lambda: len(driver.execute_script(ARRIVED)) >= form.events, "all events arrived", 10 * lasts_s)
            arrived: list[tuple[str, float]] = driver.execute_script(ARRIVED)
    took_ms = [1000 * (seen - float(told)) for told, seen in arrived]
    p95_ms = percentile(took_ms, 0.95)
    how = (
        f"A step of a real worker tells a line about every {EVERY_S:.0f} s: it is written to PostgreSQL, the page is "
        f"poked through Redis, rendered anew and pushed through the WebSocket. Chromium notes when the line is in its "
        f"DOM. Both read the same clock."
    )
    row = Row("an event is seen, p95", f"≤ {BOUND_MS:.0f} ms", f"{p95_ms:.0f} ms", p95_ms <= BOUND_MS)
    figures = (f"{percentile(took_ms, share):.0f}" for share in (0.5, 0.95, 1.0))
    table = Table(("events", "p50 ms", "p95 ms", "max ms"), ((f"{len(took_ms)}", *figures),))
    return Found(heading, how, (row,), (table,))


def _session() -> tuple[Any, str]:
    """A session whose long step has begun, and the cookie of its owner."""
    from apps.agents.contracts.criteria import Criteria
    from apps.optimization.services import session_start

    user, team = member("watcher")
    version, dataset = simulated_material(team, user)
    criteria = Criteria.model_validate({"budget": {"minutes": 600, "candidates": 1}})
    session = session_start(
        user=user, version=version, dataset=dataset, criteria=criteria, seed=7, start_anyway=True, make_anew=True
    )
    wait_until(lambda: session.log.filter(message__startswith="told at").exists(), "the long step has begun", 300)
    return session, cookie_of(user)


@contextmanager
def browser(url: str, cookie: str) -> Iterator[Chrome]:
    """Chromium, logged in."""
    from django.conf import settings
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = CHROMIUM or ""
    with tempfile.TemporaryDirectory(prefix="lathe-chromium-", ignore_cleanup_errors=True) as profile:
        flags = ("headless", "no-sandbox", "disable-gpu", "disable-background-networking", "disable-dev-shm-usage")
        for flag in (*flags, f"user-data-dir={profile}"):
            options.add_argument(f"--{flag}")
        driver = Chrome(options=options, service=Service(DRIVER))
        try:
            driver.get(f"{url}/health/")
            where = urlsplit(url).hostname
            driver.add_cookie({"name": settings.SESSION_COOKIE_NAME, "value": cookie, "domain": where, "path": "/"})
            yield driver
        finally:
            driver.quit()
            time.sleep(0.5)  # Its last writes to the profile.
