"""What can be done from the palette, by keyboard: each as a member would, to its effect."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import alert_is_present
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser.conftest import Portal, click, fill, wait, wait_for_text
from tests.browser.conftest import press as press_button
from tests.browser.keyboard import press, wait_for_focus
from tests.browser.page_rules import troubles
from tests.browser.test_palette import open_palette, until

MOVE_ALIAS = "main form:has(#suggested-aliases) button"
CHOSEN = "document.querySelector('#palette[open] [aria-selected=true] span')?.textContent"


def do(browser: Chrome, words: str, title: str) -> None:
    """Types `words` into the palette, and Enter once the action called `title` is the chosen one."""
    open_palette(browser)
    press(browser, words)
    until(browser, f"{CHOSEN} === '{title}'")
    press(browser, Keys.ENTER)


def answer(browser: Chrome, *, yes: bool) -> None:
    question = WebDriverWait(browser, 30).until(alert_is_present())
    question.accept() if yes else question.dismiss()


@pytest.fixture
def in_english(logged_in: Chrome, portal: Portal) -> Iterator[None]:
    yield
    logged_in.get(f"{portal.url}/account/time-zone/")
    fill(logged_in, "language", "English")
    click(logged_in, "main form .button-primary")


@pytest.fixture(scope="module")
def running(logged_in: Chrome, portal: Portal) -> str:
    """The address of the session that the demo has begun, whatever has become of it."""
    logged_in.get(f"{portal.url}/sessions/?search=fashion")
    return wait(logged_in, "#history tbody th a", 60).get_attribute("href") or ""


def test_a_session_is_resumed_and_cancelled(logged_in: Chrome, running: str) -> None:
    browser = logged_in
    browser.get(running)
    wait(browser, "#session-cancel, #session-resume")
    if browser.find_elements(By.ID, "session-resume"):
        do(browser, "resume", "Resume this session")
    wait(browser, "#session-cancel")
    do(browser, "cancel", "Cancel this session")
    answer(browser, yes=False)
    until(browser, "document.querySelector('#palette[open]')")
    press(browser, Keys.ESCAPE)
    assert browser.find_elements(By.ID, "session-cancel"), "a question that was declined does nothing"
    do(browser, "cancel", "Cancel this session")
    answer(browser, yes=True)
    wait_for_text(browser, "#session-head .badge", "Cancelled", 60)


def test_a_winner_is_promoted_and_rolled_back(logged_in: Chrome, portal: Portal, won_session: str) -> None:
    browser = logged_in
    browser.get(f"{portal.url}/models/?search=small")
    press_button(browser, "small")
    fill(browser, "alias", "production")
    fill(browser, "version", "small v1")
    click(browser, MOVE_ALIAS)
    wait_for_text(browser, "#versions .badge-accent", "production")
    browser.get(portal.url + won_session)
    wait(browser, "#session-report")
    do(browser, "promote", "Promote to production")
    answer(browser, yes=True)
    wait_for_text(browser, "#promotion .badge-accent", "production")
    do(browser, "roll back", "Roll back production")
    wait_for_focus(browser, "#promotion [name=reason]")
    press(browser, "Only a test.", Keys.ENTER)
    wait_for_text(browser, "#promotion", "no alias points at it")


def test_a_session_is_asked_again(logged_in: Chrome, portal: Portal, won_session: str) -> None:
    logged_in.get(portal.url + won_session)
    do(logged_in, "again", "Again with…")
    wait(logged_in, "#session-question")
    assert "again=" in logged_in.current_url


def test_a_token_is_made(logged_in: Chrome, portal: Portal) -> None:
    logged_in.get(f"{portal.url}/workers/")
    do(logged_in, "create token", "Create an API token")
    wait_for_focus(logged_in, "#id_name")
    press(logged_in, "from the palette", Keys.ENTER)
    assert wait(logged_in, "#token-text").text


def test_notifications_are_marked_as_read(logged_in: Chrome, portal: Portal, won_session: str) -> None:
    """The end of the session has rung the bell, unless another test has looked at it."""
    browser = logged_in
    browser.get(f"{portal.url}/notifications/")
    if not browser.find_elements(By.CSS_SELECTOR, "#bell .count"):
        click(browser, "#notifications form:has([name=unread]) button")
    browser.get(f"{portal.url}/workers/")
    wait(browser, "#bell .count")
    do(browser, "mark all", "Mark all notifications as read")
    wait(browser, "#notifications")
    assert not browser.find_elements(By.CSS_SELECTOR, "#bell .count")


def test_the_theme_is_switched_in_place(logged_in: Chrome, portal: Portal) -> None:
    browser = logged_in
    browser.get(f"{portal.url}/workers/")
    browser.execute_script("window.sameDocument = true")
    try:
        do(browser, "light or dark", "Light or dark")
        until(
            browser, "!document.querySelector('dialog[open]') && localStorage.getItem('theme') && window.sameDocument"
        )
    finally:
        browser.execute_script("localStorage.removeItem('theme')")


def test_the_language_is_switched_on_the_same_page(logged_in: Chrome, portal: Portal, in_english: None) -> None:
    browser = logged_in
    browser.get(f"{portal.url}/criteria/")
    do(browser, "deutsch", "Language: Deutsch")
    until(browser, "document.documentElement.lang === 'de' && location.pathname === '/criteria/'")
    open_palette(browser)
    assert troubles(browser) == []


def test_the_list_of_shortcuts_opens(logged_in: Chrome, portal: Portal) -> None:
    logged_in.get(f"{portal.url}/workers/")
    do(logged_in, "shortcuts", "Keyboard shortcuts")
    until(logged_in, "document.querySelector('#shortcuts[open]') && !document.querySelector('#palette[open]')")


def test_an_action_is_chosen_by_mouse(logged_in: Chrome, portal: Portal, won_session: str) -> None:
    browser = logged_in
    browser.get(portal.url + won_session)
    click(browser, "[data-action=palette]")
    press(browser, "delete this")
    until(browser, f"{CHOSEN} === 'Delete this session'")
    assert troubles(browser) == []
    click(browser, "#palette [role=option][formaction$='/delete/']")
    answer(browser, yes=False)
    browser.get(portal.url + won_session)
    wait(browser, "#session-report")
