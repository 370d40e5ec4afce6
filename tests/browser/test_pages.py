"""Every page in a real browser: wide and narrow, light and dark, by keyboard, and alone on its host.

With LATHE_SCREENSHOTS=FOLDER each page is also kept as a picture, to be looked at.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser.conftest import Portal

SHOTS = os.environ.get("LATHE_SCREENSHOTS")
SESSION_S = 300

PAGES = {
    "dashboard": "/",
    "sessions": "/sessions/",
    "session-new": "/sessions/new/",
    "session": "{session}",
    "report": "{session}report/",
    "models": "/models/",
    "model-upload": "/models/upload/",
    "model": "/models/1/",
    "version": "/models/1/versions/1/",
    "graph": "/models/1/versions/1/graph/",
    "datasets": "/datasets/",
    "dataset-upload": "/datasets/upload/",
    "dataset": "/datasets/1/",
    "criteria": "/criteria/",
    "criteria-new": "/criteria/new/",
    "criteria-detail": "/criteria/1/",
    "workers": "/workers/",
    "team": "/team/",
    "tokens": "/tokens/",
    "audit": "/audit/",
    "account": "/accounts/2fa/",
    "not-found": "/models/999999/",
}


@pytest.fixture(scope="module")
def session_path(logged_in: Chrome, portal: Portal) -> str:
    """The demo's session, once it is finished: the live page itself says so, without a reload."""
    logged_in.get(f"{portal.url}/sessions/")
    WebDriverWait(logged_in, 60).until(lambda b: _session_link(b, portal))
    path = _session_link(logged_in, portal)
    logged_in.get(portal.url + path)
    WebDriverWait(logged_in, SESSION_S).until(lambda b: b.find_elements(By.LINK_TEXT, "Read the report"))
    return path


def _session_link(browser: Chrome, portal: Portal) -> str:
    links = browser.find_elements(By.CSS_SELECTOR, "table th a[href^='/sessions/']")
    if not links:
        browser.refresh()
        return ""
    return urlsplit(links[0].get_attribute("href") or "").path


@pytest.fixture
def theme(logged_in: Chrome) -> Iterator[None]:
    yield
    logged_in.execute_script("localStorage.removeItem('theme')")
    logged_in.set_window_size(1440, 1000)


def console_errors(browser: Chrome) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def hosts_asked(browser: Chrome) -> set[str]:
    """The hosts of every request since the last look."""
    hosts = set()
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            hosts.add(urlsplit(message["params"]["request"]["url"]).netloc)
    return {host for host in hosts if host}


@pytest.mark.parametrize("tone", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_and_stands_alone(
    logged_in: Chrome, portal: Portal, session_path: str, theme: None, name: str, width: int, tone: str
) -> None:
    browser = logged_in
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False},
    )
    browser.execute_script("localStorage.setItem('theme', arguments[0])", tone)
    console_errors(browser), hosts_asked(browser)
    browser.get(portal.url + PAGES[name].format(session=session_path))
    if name in ("session", "report"):
        WebDriverWait(browser, 20).until(lambda b: b.find_elements(By.CSS_SELECTOR, "#plot .main-svg"))
    if SHOTS:
        _keep_picture(browser, f"{name}-{width}-{tone}")
    overflow = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0, f"{name} is {overflow} px too wide at {width}"
    assert hosts_asked(browser) <= {urlsplit(portal.url).netloc}
    errors = [error for error in console_errors(browser) if not (name == "not-found" and "404" in error)]
    assert not errors


def _keep_picture(browser: Chrome, name: str) -> None:
    import base64

    folder = Path(str(SHOTS))
    folder.mkdir(parents=True, exist_ok=True)
    size = browser.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    picture = browser.execute_cdp_cmd(
        "Page.captureScreenshot",
        {
            "captureBeyondViewport": True,
            "clip": {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 4000), "scale": 1},
        },
    )
    (folder / f"{name}.png").write_bytes(base64.b64decode(picture["data"]))


def test_the_first_tab_offers_to_skip_to_the_content(logged_in: Chrome, portal: Portal) -> None:
    logged_in.get(portal.url)
    logged_in.switch_to.active_element.send_keys(Keys.TAB)
    focused = logged_in.switch_to.active_element
    assert focused.text == "Skip to the content"
    focused.send_keys(Keys.ENTER)
    assert logged_in.execute_script("return document.activeElement.id") == "content"


def test_the_menu_of_a_narrow_screen_opens_by_keyboard(logged_in: Chrome, portal: Portal, theme: None) -> None:
    logged_in.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    logged_in.get(portal.url)
    button = logged_in.find_element(By.CSS_SELECTOR, ".menu-toggle")
    assert not logged_in.find_element(By.ID, "nav").is_displayed()
    button.send_keys(Keys.ENTER)
    assert logged_in.find_element(By.ID, "nav").is_displayed()
    assert button.get_attribute("aria-expanded") == "true"


def test_the_theme_is_kept(logged_in: Chrome, portal: Portal, theme: None) -> None:
    logged_in.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 1440, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    )
    logged_in.get(portal.url)
    logged_in.find_element(By.CSS_SELECTOR, "[data-action=theme]").click()
    chosen = logged_in.execute_script("return document.documentElement.dataset.theme")
    logged_in.refresh()
    assert logged_in.execute_script("return document.documentElement.dataset.theme") == chosen
