"""After the verdict, by mouse and by keyboard: another candidate is taken, and speed is surveyed."""

from __future__ import annotations

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import alert_is_present
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser.conftest import SESSION_S, Portal, click, fill, wait, wait_for_text
from tests.browser.keyboard import press, tab_into_content, tab_to

TAKE = "#report-front [id^=take-]"
FURTHEST = 200
"""Stops of the keyboard from the begin of a report to its end, at most."""


@pytest.fixture(scope="module")
def chosen(logged_in: Chrome, portal: Portal, won_session: str) -> str:
    """The candidate that the session delivered first: it does so again after these tests."""
    logged_in.get(f"{portal.url}{won_session}report/")
    return delivered(logged_in)


def delivered(browser: Chrome) -> str:
    return wait(browser, "#report-front tr.chosen .mono").text


def is_taken(browser: Chrome, portal: Portal, session: str, candidate: str) -> None:
    """Says yes, and waits until the session delivers it."""
    WebDriverWait(browser, 30).until(alert_is_present()).accept()
    wait_for_text(browser, "#messages", f"{candidate} is taken")
    wait_for_text(browser, "#session-head .badge", "Completed", SESSION_S)
    browser.get(f"{portal.url}{session}report/")
    assert delivered(browser) == candidate


def test_another_candidate_is_taken_by_mouse(logged_in: Chrome, portal: Portal, won_session: str, chosen: str) -> None:
    logged_in.get(f"{portal.url}{won_session}report/")
    other = (wait(logged_in, TAKE).get_attribute("id") or "").removeprefix("take-")
    click(logged_in, f"#take-{other}")
    is_taken(logged_in, portal, won_session, other)


def test_the_first_one_is_taken_again_by_keyboard(
    logged_in: Chrome, portal: Portal, won_session: str, chosen: str
) -> None:
    logged_in.get(f"{portal.url}{won_session}report/")
    tab_into_content(logged_in)
    tab_to(logged_in, f"#take-{chosen}", most=FURTHEST)
    press(logged_in, Keys.ENTER)
    is_taken(logged_in, portal, won_session, chosen)


@pytest.mark.parametrize(("way", "batch"), [("mouse", "2"), ("keyboard", "3")])
def test_speed_is_measured_by_batch_and_threads(
    logged_in: Chrome, portal: Portal, won_session: str, way: str, batch: str
) -> None:
    """One cell each."""
    browser, report = logged_in, f"{portal.url}{won_session}report/"
    browser.get(report)
    if way == "mouse":
        fill(browser, "batch_sizes", batch, "#matrix-form")
        fill(browser, "threads", "1", "#matrix-form")
        click(browser, "#matrix-form button")
    else:
        tab_into_content(browser)
        tab_to(browser, "#matrix-batches", most=FURTHEST)
        press(browser, batch, Keys.TAB, "1", Keys.ENTER)

    def drawn(driver: Chrome) -> bool:
        driver.get(report)
        batches = driver.find_elements(By.CSS_SELECTOR, "#report-matrix tbody th")
        done = bool(driver.find_elements(By.ID, "matrix-form"))  # there again once the session has its verdict back
        return done and [one.text for one in batches[:1]] == [batch]

    WebDriverWait(browser, SESSION_S, poll_frequency=1).until(drawn)
