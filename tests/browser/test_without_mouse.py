"""The whole way without a mouse: from an upload to a promotion and back, and out of what goes wrong."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys

from tests.browser.conftest import SESSION_S, Portal, wait, wait_for_text
from tests.browser.keyboard import choose, press, tab_into_content, tab_to, wait_for_focus
from tests.browser.material import examples, small_model
from tests.browser.test_way_through import SAMPLE


def upload(browser: Chrome, portal: Portal, file: Path, name: str, kind: str = "models") -> None:
    """The path is what a member would type into the window of the system that the file's field opens."""
    browser.get(f"{portal.url}/{kind}/upload/")
    tab_into_content(browser)
    tab_to(browser, "[name=file]")
    browser.switch_to.active_element.send_keys(str(file))
    tab_to(browser, "[name=name]")
    press(browser, name)
    tab_to(browser, "main button[type=submit]")
    press(browser, Keys.ENTER)


@pytest.fixture(scope="module")
def version(logged_in: Chrome, portal: Portal, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a version with the content of the small model, so that sessions take over what was measured on it."""
    upload(logged_in, portal, small_model(tmp_path_factory.mktemp("material") / "twin.onnx"), "twin")
    wait_for_text(logged_in, "#version-state .badge", "Ready", 60)
    return urlsplit(logged_in.current_url).path


@pytest.fixture(scope="module")
def session(logged_in: Chrome, portal: Portal, won_session: str, version: str) -> str:
    """The path of a session that has ended: begun with the next step that the version's page offers."""
    browser = logged_in
    browser.get(portal.url + version)
    tab_into_content(browser)
    tab_to(browser, "#version-actions a[href*='/sessions/new/']")
    press(browser, Keys.ENTER)
    wait(browser, "#session-question")
    tab_into_content(browser)
    tab_to(browser, "#id_dataset")
    choose(browser, "centres")
    tab_to(browser, "#id_criteria_set")
    choose(browser, "twice as small v1")
    wait(browser, "#preview-plan tbody tr")
    wait_for_focus(browser, "#id_criteria_set")
    tab_to(browser, "#session-start")
    press(browser, Keys.ENTER)
    wait(browser, "#session-head")
    path = urlsplit(browser.current_url).path
    tab_into_content(browser)
    tab_to(browser, "#session-again")
    wait(browser, "#session-report", SESSION_S)
    wait_for_focus(browser, "#session-again")
    return path


def test_the_report_is_one_stop_from_where_the_session_was_watched(
    logged_in: Chrome, portal: Portal, session: str
) -> None:
    logged_in.get(portal.url + session)
    tab_into_content(logged_in)
    tab_to(logged_in, "#session-report")
    press(logged_in, Keys.ENTER)
    wait(logged_in, "#report-verdict")


def test_a_winner_is_promoted_and_rolled_back_by_keyboard(
    logged_in: Chrome, portal: Portal, version: str, session: str
) -> None:
    browser = logged_in
    browser.get(portal.url + version.partition("versions/")[0])
    tab_into_content(browser)
    tab_to(browser, "main [name=alias]")
    press(browser, "staging", Keys.ENTER)
    wait_for_text(browser, "#versions .badge-accent", "staging")
    browser.get(f"{portal.url}{session}report/")
    tab_into_content(browser)
    tab_to(browser, "#promotion [name=alias]")
    press(browser, "staging")
    tab_to(browser, "#promotion button")
    press(browser, Keys.SPACE)
    wait_for_text(browser, "#promotion .badge-accent", "staging")
    tab_into_content(browser)
    tab_to(browser, "#promotion [name=reason]")
    press(browser, "It was slower there.", Keys.ENTER)
    wait_for_text(browser, "#promotion", "no alias points at it")


def test_a_refused_upload_moves_the_focus_to_the_reason(logged_in: Chrome, portal: Portal, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(SAMPLE.read_bytes()[:5000])
    upload(logged_in, portal, broken, "broken by keyboard")
    wait_for_text(logged_in, "main [role=alert]", "model.truncated", 60)
    wait_for_focus(logged_in, "main [role=alert]")
    tab_to(logged_in, "[name=file]")


def test_a_data_set_is_uploaded_by_keyboard_and_leads_to_a_session(
    logged_in: Chrome, portal: Portal, tmp_path: Path
) -> None:
    upload(logged_in, portal, examples(tmp_path / "further.npz"), "further", "datasets")
    wait_for_text(logged_in, "#dataset-state .badge", "Ready", 60)
    tab_into_content(logged_in)
    tab_to(logged_in, "#dataset-actions a[href*='/sessions/new/']")
    press(logged_in, Keys.ENTER)
    wait(logged_in, "#session-question")


def test_a_refused_data_set_moves_the_focus_to_the_reason(logged_in: Chrome, portal: Portal, tmp_path: Path) -> None:
    broken = examples(tmp_path / "broken.npz")
    broken.write_bytes(broken.read_bytes()[:5000])
    upload(logged_in, portal, broken, "broken data", "datasets")
    wait_for_focus(logged_in, "main [role=alert], main [aria-invalid=true]", 60)
    tab_to(logged_in, "[name=name]")


def test_an_upload_is_stopped_by_keyboard(logged_in: Chrome, portal: Portal, slow_network: None) -> None:
    upload(logged_in, portal, SAMPLE, "never there")
    wait(logged_in, "[data-progress] progress")
    wait_for_focus(logged_in, "[data-cancel]")
    press(logged_in, Keys.ENTER)
    wait_for_text(logged_in, "[data-upload-error]", "Stopped")
    wait_for_focus(logged_in, "main button[type=submit]")
