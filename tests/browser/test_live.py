"""The live page: it moves by itself, heals after a lost connection, and cancels."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import alert_is_present
from selenium.webdriver.support.wait import WebDriverWait

from apps.agents.session.headline import NOTHING_BETTER
from tests.browser.chromium import set_theme, set_width
from tests.browser.conftest import PAGE_CHANGING, SESSION_S, Portal, click, newest_session, wait, wait_for_text
from tests.browser.keyboard import has_focus, press, tab_into_content, tab_to, wait_for_focus
from tests.browser.page_rules import troubles
from tests.browser.wire import Wire

NOT_RELOADED = "return window.sameDocument === true"


def open_session(browser: Chrome, url: str, path: str) -> None:
    """Opens a session's page and marks the document, so that a reload would show."""
    browser.get(url + path)
    wait(browser, "#session-head")
    browser.execute_script("window.sameDocument = true")


@pytest.fixture(scope="module")
def running(logged_in: Chrome, portal: Portal) -> str:
    """The path of the session that the demo has begun."""
    return newest_session(logged_in, portal)


def test_a_page_that_loses_its_connection_says_so_and_catches_up(
    logged_in: Chrome, portal: Portal, running: str
) -> None:
    with Wire(urlsplit(portal.url).port or 80) as wire:
        open_session(logged_in, f"http://127.0.0.1:{wire.port}", running)
        wait(logged_in, "#session-steps tbody tr")
        assert not logged_in.find_element(By.ID, "offline").is_displayed()
        wire.cut()
        wait(logged_in, "#offline")
        assert troubles_on_a_phone_in_the_dark(logged_in) == []
        logged_in.execute_script("document.querySelector('#session-log a[download]').focus()")
        # What the page shows now is made worse than old: only a push can mend it.
        logged_in.execute_script("document.getElementById('session-steps').replaceChildren()")
        wire.mend()
        wait(logged_in, "#session-steps tbody tr")
        assert not logged_in.find_element(By.ID, "offline").is_displayed()
        assert logged_in.execute_script(NOT_RELOADED)
        assert logged_in.execute_script("return document.activeElement.matches('#session-log a[download]')")


def troubles_on_a_phone_in_the_dark(browser: Chrome) -> list[str]:
    """What the open page, as it is now, does not keep to there."""
    set_width(browser, 390)
    set_theme(browser, "dark")
    found = troubles(browser)
    set_theme(browser, "light")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    return found


@pytest.mark.nightly
def test_the_demo_is_watched_to_its_end(logged_in: Chrome, portal: Portal, running: str) -> None:
    """Whether anything is faster depends on the processor; what was chosen is marked whenever something was."""
    headline = watched_to_its_end(logged_in, portal, running)
    chosen = logged_in.find_elements(By.CSS_SELECTOR, "#session-candidates tr.chosen:not(.made)")
    assert len(chosen) == (NOTHING_BETTER not in headline), headline


def test_cancel_stops_the_session_and_the_page_shows_it(logged_in: Chrome, portal: Portal, running: str) -> None:
    open_session(logged_in, portal.url, running)
    wait(logged_in, "#session-steps .badge-live", SESSION_S)
    cancel(logged_in)
    wait(logged_in, "#session-resume")
    assert not logged_in.find_elements(By.CSS_SELECTOR, "#session-steps .badge-live")


def cancel(browser: Chrome) -> None:
    click(browser, "#session-cancel")
    WebDriverWait(browser, 30).until(alert_is_present()).accept()
    wait_for_text(browser, "#session-head .badge", "Cancelled")


@pytest.fixture
def stopped(logged_in: Chrome, portal: Portal, running: str) -> str:
    """The path of that session, which a member has cancelled."""
    open_session(logged_in, portal.url, running)
    if not logged_in.find_elements(By.ID, "session-resume"):
        cancel(logged_in)
    return running


def test_a_session_is_resumed_and_cancelled_by_keyboard(logged_in: Chrome, portal: Portal, stopped: str) -> None:
    """Each button goes away once it is pressed. The next one is a few stops from there, and not a page of them."""
    browser = logged_in
    open_session(browser, portal.url, stopped)
    tab_into_content(browser)
    tab_to(browser, "#session-resume")
    press(browser, Keys.ENTER)
    wait(browser, "#session-cancel")
    wait_for_focus(browser, "#session-head, #session-head *")
    tab_to(browser, "#session-cancel")
    press(browser, Keys.SPACE)
    WebDriverWait(browser, 30).until(alert_is_present()).accept()
    wait_for_text(browser, "#session-head .badge", "Cancelled")
    wait_for_focus(browser, "#session-head, #session-head *")
    tab_to(browser, "#session-resume")
    assert browser.execute_script(NOT_RELOADED)


@pytest.mark.parametrize("way", ["mouse", "keyboard"])
def test_a_press_without_a_connection_is_said_and_can_be_repeated(
    logged_in: Chrome, portal: Portal, stopped: str, way: str
) -> None:
    browser = logged_in

    def use(button: str) -> None:
        if way == "mouse":
            return click(browser, button)
        if not has_focus(browser, button):  # after the press that was lost it still is there
            tab_into_content(browser)
            tab_to(browser, button)
        return press(browser, Keys.ENTER)

    with Wire(urlsplit(portal.url).port or 80) as wire:
        open_session(browser, f"http://127.0.0.1:{wire.port}", stopped)
        wait(browser, "#session-resume")
        wire.cut()
        wait(browser, "#offline")
        use("#session-resume")
        wait_for_text(browser, "#messages", "No answer from Lathe")
        assert troubles_on_a_phone_in_the_dark(browser) == []
        wire.mend()
        WebDriverWait(browser, 30).until_not(lambda driver: driver.find_element(By.ID, "offline").is_displayed())
        use("#session-resume")
        wait(browser, "#session-cancel")
        assert not browser.find_element(By.ID, "messages").text
        assert browser.execute_script(NOT_RELOADED)
    open_session(browser, portal.url, stopped)
    cancel(browser)


def test_a_session_is_watched_to_its_end_without_a_reload(
    logged_in: Chrome, portal: Portal, small_session: str
) -> None:
    assert "× smaller" in watched_to_its_end(logged_in, portal, small_session)
    assert len(logged_in.find_elements(By.CSS_SELECTOR, "#session-candidates tr.chosen:not(.made)")) == 1


def watched_to_its_end(browser: Chrome, portal: Portal, path: str) -> str:
    """The headline of a session whose page has shown its end by itself."""
    open_session(browser, portal.url, path)
    wait(browser, "#session-report", SESSION_S)
    wait(browser, "#session-front svg")
    assert browser.execute_script(NOT_RELOADED)
    headline = wait(browser, "#session-headline strong").text

    def is_read_out(driver: Chrome) -> bool:
        said = driver.find_element(By.ID, "session-announcement").get_attribute("textContent") or ""
        return f"completed. {headline}" in said

    WebDriverWait(browser, 30, ignored_exceptions=PAGE_CHANGING).until(is_read_out, "the headline is not read out")
    return headline


# What a push does, with a part of the page that the test has changed.
PUSH = """
const [id, change] = arguments;
const part = document.getElementById(id).cloneNode(true);
new Function("part", change)(part);
part.setAttribute('hx-swap-oob', 'true');
const nowhere = document.body.appendChild(document.createElement('div'));
htmx.swap(nowhere, part.outerHTML, {swapStyle: 'none'});
nowhere.remove();
"""


def push(browser: Chrome, part: str, change: str = "") -> None:
    """A push of the part with this id, after the script `change` has changed it."""
    browser.execute_script(PUSH, part, change)


def test_a_push_leaves_the_reader_where_they_are(logged_in: Chrome, portal: Portal, won_session: str) -> None:
    """What is swapped gives back focus, scroll position and what is unfolded; controls without an id too."""
    open_session(logged_in, portal.url, won_session)
    wait(logged_in, "#session-report")
    logged_in.execute_script("document.getElementById('session-log-lines').scrollTop = 5")
    logged_in.execute_script("document.querySelector('#session-candidates details').open = true")
    for control in ("#session-report", "#session-candidates .table-wrap", "#session-log a:nth-of-type(2)"):
        logged_in.execute_script("document.querySelector(arguments[0]).focus()", control)
        for part in ("session-head", "session-log", "session-candidates"):
            push(logged_in, part, "for (const one of part.querySelectorAll('details')) one.open = false")
        assert has_focus(logged_in, control)
    assert logged_in.execute_script("return document.getElementById('session-log-lines').scrollTop") == 5
    unfolded = logged_in.find_elements(By.CSS_SELECTOR, "#session-candidates details[open]")
    assert len(unfolded) == 1, "what was unfolded stays unfolded"


def test_the_focus_of_a_control_that_goes_away_stays_in_its_part(
    logged_in: Chrome, portal: Portal, won_session: str
) -> None:
    open_session(logged_in, portal.url, won_session)
    logged_in.execute_script("document.getElementById('session-report').focus()")
    for gone in ("#session-report", "#session-again"):
        push(logged_in, "session-head", f"part.querySelector('{gone}').remove()")
        assert has_focus(logged_in, "#session-head")


def test_a_page_that_asks_again_leaves_the_focus(logged_in: Chrome, portal: Portal, won_session: str) -> None:
    """As each poll of the dashboard does: the table around its links has no id."""
    logged_in.get(portal.url)
    logged_in.execute_script("document.querySelector('#finished .table-wrap').focus()")
    logged_in.execute_script("window.before = document.getElementById('dashboard')")
    logged_in.execute_script("htmx.ajax('GET', '/', {target: '#dashboard', swap: 'outerHTML'})")
    WebDriverWait(logged_in, 20).until(lambda driver: driver.execute_script("return !window.before.isConnected"))
    assert has_focus(logged_in, "#finished .table-wrap")


@pytest.mark.parametrize("way", ["pointer", "space bar"])
def test_a_press_held_across_a_push_counts(logged_in: Chrome, portal: Portal, won_session: str, way: str) -> None:
    """A push while a button is down waits for the release, so that the press is not lost with the old button.

    The push is the test's own, on a page that gets no others.
    """
    logged_in.get(f"{portal.url}{won_session}report/")
    button = wait(logged_in, "#promotion button")
    logged_in.execute_script("document.addEventListener('submit', (event) => event.preventDefault(), true)")
    logged_in.execute_script("arguments[0].addEventListener('click', () => { window.pressed = true; })", button)
    logged_in.execute_script("arguments[0].focus()", button)
    hand = ActionChains(logged_in)
    (hand.click_and_hold(button) if way == "pointer" else hand.key_down(" ")).perform()
    for text in ("older", "newer"):
        push(logged_in, "promotion", f"part.querySelector('h2').textContent = '{text}'")
    assert logged_in.find_element(By.CSS_SELECTOR, "#promotion h2").text not in ("older", "newer")
    hand = ActionChains(logged_in)
    (hand.release() if way == "pointer" else hand.key_up(" ")).perform()
    assert logged_in.execute_script("return window.pressed === true")
    wait_for_text(logged_in, "#promotion h2", "newer")
    push(logged_in, "promotion", "part.querySelector('h2').textContent = 'at once'")
    wait_for_text(logged_in, "#promotion h2", "at once")
