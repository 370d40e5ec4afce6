"""After the verdict, by mouse and by keyboard: another candidate is taken, and speed is surveyed."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import alert_is_present
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser.conftest import SESSION_S, Portal, click, fill, wait, wait_for_text
from tests.browser.conftest import press as press_button
from tests.browser.keyboard import press, tab_into_content, tab_to

TAKE = "#report-front [id^=take-]"


@pytest.fixture(scope="module")
def session(logged_in: Chrome, portal: Portal, won_session: str) -> str:
    """The path of a session of its own that ends as the small one did, whose results it takes over."""
    logged_in.get(f"{portal.url}/sessions/new/?again={won_session.split('/')[2]}")
    wait(logged_in, "#preview-plan tbody tr")
    press_button(logged_in, "Start the session")
    wait(logged_in, "#session-report", SESSION_S)
    return urlsplit(logged_in.current_url).path


def delivered(browser: Chrome) -> str:
    return browser.find_element(By.CSS_SELECTOR, "#report-front tr.chosen .mono").text


def is_taken(browser: Chrome, portal: Portal, session: str, candidate: str) -> None:
    """Says yes, and waits until the session delivers it."""
    WebDriverWait(browser, 30).until(alert_is_present()).accept()
    wait_for_text(browser, "#messages", f"{candidate} is taken")
    wait_for_text(browser, "#session-head .badge", "Completed", SESSION_S)
    browser.get(f"{portal.url}{session}report/")
    assert delivered(browser) == candidate


def test_another_candidate_is_taken_by_mouse(logged_in: Chrome, portal: Portal, session: str) -> None:
    browser = logged_in
    browser.get(f"{portal.url}{session}report/")
    candidate = wait(browser, TAKE).get_attribute("id").removeprefix("take-")  # type: ignore[union-attr]
    click(browser, TAKE)
    is_taken(browser, portal, session, candidate)


def test_another_candidate_is_taken_by_keyboard(logged_in: Chrome, portal: Portal, session: str) -> None:
    """After the mouse it is the first one that is taken again."""
    browser = logged_in
    browser.get(f"{portal.url}{session}report/")
    candidate = wait(browser, TAKE).get_attribute("id").removeprefix("take-")  # type: ignore[union-attr]
    tab_into_content(browser)
    tab_to(browser, TAKE)
    press(browser, Keys.ENTER)
    is_taken(browser, portal, session, candidate)


@pytest.mark.parametrize("way", ["mouse", "keyboard"])
def test_speed_is_measured_by_batch_and_threads(logged_in: Chrome, portal: Portal, session: str, way: str) -> None:
    """One cell each: the first one by mouse, and once more by keyboard."""
    browser = logged_in
    report = f"{portal.url}{session}report/"
    browser.get(report)
    if way == "mouse":
        fill(browser, "batch_sizes", "2", "#matrix-form")
        fill(browser, "threads", "1", "#matrix-form")
        click(browser, "#matrix-form button")
    else:
        tab_into_content(browser)
        tab_to(browser, "#matrix-batches", most=200)
        press(browser, Keys.CONTROL + "a" + Keys.NULL, "3", Keys.TAB, "1", Keys.ENTER)
    measured = {"mouse": "2", "keyboard": "3"}[way]

    def drawn(driver: Chrome) -> bool:
        driver.get(report)
        batches = driver.find_elements(By.CSS_SELECTOR, "#report-matrix tbody th")
        return [one.text for one in batches[:1]] == [measured]

    WebDriverWait(browser, SESSION_S, poll_frequency=1).until(drawn)
