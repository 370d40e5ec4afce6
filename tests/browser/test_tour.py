"""The tour for the first session, as a keyboard uses it; wide and narrow, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.chromium import set_theme, set_width
from tests.browser.conftest import Portal, newest_session, wait, wait_for_text
from tests.browser.keyboard import press
from tests.browser.page_rules import troubles
from tests.browser.test_pages import SHOTS
from tests.browser.test_palette import until

OVERLAP = """
  const [hint, target] = [document.getElementById("tour"), document.getElementById(arguments[0])];
  const [a, b] = [hint.getBoundingClientRect(), target.getBoundingClientRect()];
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
"""


@pytest.fixture(autouse=True)
def as_before(logged_in: Chrome) -> Iterator[None]:
    yield
    logged_in.execute_script("localStorage.removeItem('theme'); sessionStorage.removeItem('tour')")
    logged_in.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def begin(browser: Chrome, portal: Portal) -> None:
    """The menu's button, once the samples are there: the tour notices what is made after it began."""
    newest_session(browser, portal)
    browser.get(f"{portal.url}/workers/")
    button = browser.find_element(By.XPATH, "//nav//button[normalize-space(.)='Take the tour']")
    browser.execute_script("arguments[0].focus()", button)
    press(browser, Keys.ENTER)
    until(browser, "location.pathname === '/models/upload/' && document.readyState === 'complete'")


def has_focus(browser: Chrome, name: str) -> None:
    until(browser, f"document.activeElement.id === '{name}'")


def test_the_tour_is_taken_and_ended_by_keyboard_alone(logged_in: Chrome, portal: Portal) -> None:
    browser = logged_in
    begin(browser, portal)
    has_focus(browser, "tour")
    assert "Upload a model" in browser.find_element(By.ID, "tour").text
    press(browser, Keys.TAB)
    has_focus(browser, "tour-target")
    press(browser, Keys.ENTER)
    has_focus(browser, "id_file")
    assert browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle") != "none"
    browser.execute_script("document.getElementById('tour').focus()")
    press(browser, Keys.TAB, Keys.TAB, Keys.ENTER)
    until(browser, "location.pathname === '/datasets/upload/' && document.readyState === 'complete'")
    has_focus(browser, "tour")
    press(browser, Keys.ESCAPE)
    wait_for_text(browser, "#messages", "The tour has ended")
    has_focus(browser, "content")
    browser.get(f"{portal.url}/datasets/upload/")
    assert not browser.find_elements(By.ID, "tour")


@pytest.mark.parametrize("width", [1440, 390, 320])
def test_a_hint_covers_nothing_and_is_readable(logged_in: Chrome, portal: Portal, width: int) -> None:
    browser = logged_in
    set_width(browser, 1440)
    begin(browser, portal)
    set_width(browser, width)
    for path, target in (("/models/upload/", "id_file"), ("/sessions/new/", "session-start")):
        while browser.execute_script("return document.getElementById('tour').dataset.target") != target:
            before = browser.find_element(By.ID, "tour").get_attribute("data-step")
            browser.find_element(By.ID, "tour-next").click()
            until(browser, f"document.getElementById('tour')?.dataset.step !== '{before}' && window.htmx")
            wait(browser, "#tour")
        assert browser.execute_script("return location.pathname") == path
        assert not browser.execute_script(OVERLAP, target)
        for tone in ("light", "dark"):
            set_theme(browser, tone)
            if SHOTS:
                Path(SHOTS).mkdir(parents=True, exist_ok=True)
                browser.save_screenshot(str(Path(SHOTS) / f"tour-{target}-{width}-{tone}.png"))
            assert troubles(browser) == [], f"{path} at {width} px, {tone}"
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()


def test_escape_in_the_palette_ends_no_tour(logged_in: Chrome, portal: Portal) -> None:
    browser = logged_in
    begin(browser, portal)
    browser.find_element(By.CSS_SELECTOR, "[data-action=palette]").click()
    until(browser, "document.querySelector('#palette[open]')")
    press(browser, Keys.ESCAPE)
    until(browser, "!document.querySelector('dialog[open]')")
    assert browser.find_elements(By.ID, "tour")
    browser.find_element(By.ID, "tour-end").click()
    wait_for_text(browser, "#messages", "The tour has ended")
