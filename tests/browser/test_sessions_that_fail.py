"""A session that fails: its page says why, and the member goes on from there, by mouse and by keyboard."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser.chromium import set_theme, set_width
from tests.browser.conftest import SESSION_S, Portal, choose_file, click, fill, press, wait, wait_for_text
from tests.browser.keyboard import press as type_keys
from tests.browser.keyboard import tab_into_content, tab_to, wait_for_focus
from tests.browser.page_rules import troubles
from tests.doors.test_originals_that_fail import lookup, words

BEYOND = 89
"""Above the last row of the model's table: it fails on such an example."""


@pytest.fixture(scope="module")
def failed(logged_in: Chrome, portal: Portal, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a session on data that passes its check and that the model fails on."""
    browser, folder = logged_in, tmp_path_factory.mktemp("failing")
    (folder / "lookup.onnx").write_bytes(lookup())
    (folder / "words.npz").write_bytes(words(beyond=BEYOND))
    for kind, file in (("models", "lookup.onnx"), ("datasets", "words.npz")):
        browser.get(f"{portal.url}/{kind}/upload/")
        choose_file(browser, folder / file)
        fill(browser, "name", file.partition(".")[0])
        press(browser, "Upload")
        wait_for_text(browser, "#version-state .badge, #dataset-state .badge", "Ready", 60)
    browser.get(f"{portal.url}/sessions/new/")
    fill(browser, "version", "lookup v1")
    fill(browser, "dataset", "words")
    fill(browser, "criteria_set", "fastest v1")
    wait(browser, "#preview-plan tbody tr")
    press(browser, "Start the session")
    has_failed(browser)
    return urlsplit(browser.current_url).path


def has_failed(browser: Chrome) -> None:
    wait_for_text(browser, "#session-head .badge", "Failed", SESSION_S)
    wait_for_text(browser, "#session-head [role=alert]", "model.run_failed")


def test_what_failed_is_said_at_the_top_and_at_its_step(logged_in: Chrome, portal: Portal, failed: str) -> None:
    logged_in.get(portal.url + failed)
    wait_for_text(logged_in, "#session-steps .text-bad", "model.run_failed")
    for width in (1440, 390):
        set_width(logged_in, width)
        for tone in ("light", "dark"):
            set_theme(logged_in, tone)
            assert troubles(logged_in) == [], f"{width} px, {tone}"
    logged_in.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_it_is_started_over_by_mouse(logged_in: Chrome, portal: Portal, failed: str) -> None:
    logged_in.get(portal.url)
    click(logged_in, f"#needs-you a[href='{failed}']")
    click(logged_in, "#session-retry")
    WebDriverWait(logged_in, 30).until(lambda driver: urlsplit(driver.current_url).path != failed)
    has_failed(logged_in)
    logged_in.get(portal.url)
    assert not logged_in.find_elements(By.CSS_SELECTOR, f"#needs-you a[href='{failed}']"), (
        "the newer one needs attention"
    )


def test_it_is_started_over_by_keyboard(logged_in: Chrome, portal: Portal, failed: str) -> None:
    logged_in.get(portal.url + failed)
    tab_into_content(logged_in)
    tab_to(logged_in, "#session-retry")
    type_keys(logged_in, Keys.ENTER)
    WebDriverWait(logged_in, 30).until(lambda driver: urlsplit(driver.current_url).path != failed)
    has_failed(logged_in)


def test_it_is_resumed_by_mouse(logged_in: Chrome, portal: Portal, failed: str) -> None:
    """The same session goes on: its page shows it, and that it has failed again."""
    logged_in.get(portal.url + failed)
    logged_in.execute_script("window.sameDocument = true")
    click(logged_in, "#session-resume")
    wait(logged_in, "#session-cancel")
    has_failed(logged_in)
    assert logged_in.execute_script("return window.sameDocument === true")


def test_it_is_resumed_by_keyboard(logged_in: Chrome, portal: Portal, failed: str) -> None:
    logged_in.get(portal.url + failed)
    wait(logged_in, "#session-resume")
    tab_into_content(logged_in)
    tab_to(logged_in, "#session-resume")
    type_keys(logged_in, Keys.ENTER)
    wait(logged_in, "#session-cancel")
    wait_for_focus(logged_in, "#session-head, #session-head *")
    has_failed(logged_in)
    wait_for_focus(logged_in, "#session-head, #session-head *")
    tab_to(logged_in, "#session-retry")
