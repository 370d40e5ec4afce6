"""Every page in a real browser: wide and narrow, light and dark, by keyboard, and alone on its host.

With LATHE_TEST_SCREENSHOTS=FOLDER each page is also kept as a picture, to be looked at.
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

from tests.browser.chromium import new_browser, picture_of, set_theme, set_width
from tests.browser.conftest import Portal, click, wait, wait_for_text
from tests.browser.conftest import press as press_button
from tests.browser.keyboard import press, tab_into_content, tab_to
from tests.browser.page_rules import OF_COLOURS, troubles, troubles_of_width

SHOTS = os.environ.get("LATHE_TEST_SCREENSHOTS")

PAGES = {
    "dashboard": "/",
    "sessions": "/sessions/",
    "session-new": "/sessions/new/?version=1&dataset=1&criteria_set=1",
    "session-own": "/sessions/new/?own=1&version=1&dataset=1&criteria_set=1",
    "session-compare": "/sessions/new/compare/?version=1&compared=2&dataset=1",
    "compare": "/compare/?item=version:1&item=version:2",
    "compare-empty": "/compare/",
    "session": "{session}",
    "report": "{session}report/",
    "report-links": "{session}links/",
    "template-new": "{session}template/",
    "templates": "/templates/",
    "predictions": "{session}predictions/",
    "layers": "{session}layers/",
    "models": "/models/",
    "model-upload": "/models/upload/",
    "model": "/models/3/",
    "model-card": "/models/3/card/",
    "version": "/models/3/versions/1/",
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
    "service-accounts": "/team/service-accounts/",
    "logins": "/account/logins/",
    "approvals": "/approvals/",
    "storage": "/storage/",
    "audit": "/audit/",
    "notifications": "/notifications/",
    "notification-settings": "/notifications/settings/",
    "channel-new": "/notifications/channels/new/?medium=chat&for=team",
    "deliveries": "/notifications/deliveries/",
    "account": "/accounts/2fa/",
    "two-factor": "/accounts/2fa/totp/activate/",
    "password": "/accounts/password/change/",
    "time-zone": "/account/time-zone/",
    "search": "/find/?search=fashion",
    "documents": "/docs/",
    "document": "/docs/user-guide/",
    "errors": "/docs/errors/",
    "styleguide": "/styleguide/",
    "operations": "/operations/",
    "reference": "/api/docs/",
    "not-found": "/models/999999/",
}
VISITED = {
    "login": "/accounts/login/",
    "reset": "/accounts/password/reset/",
    "reset-sent": "/accounts/password/reset/done/",
    "closed": "/accounts/signup/",
    "shared-report": "{shared}",
}
"""Pages that need no login."""
DRAWN = {
    "session": "#session-front svg",
    "report": "#report-blocks svg",
    "version": "#analysis-layers .bars svg",
    "reference": "#reference .opblock",
}
"""By page: what is seen once it is drawn."""
WIDE, NARROW = 1440, 390
"""Axe looks at a page at the wide one: what it finds hardly depends on the width. `test_widths` has it look at all
pages where they are narrowest, in the dark."""
LOOKED_AT = {"light": "", "dark": OF_COLOURS}
"""By theme, the category of axe's rules; all of them once."""
COMPARE = "#compare-form button:not([name])"
HEAVIEST = {"report": 600_000}
"""Bytes, by page; of any other page 100 kB."""


@pytest.fixture(autouse=True)
def as_before(logged_in: Chrome) -> Iterator[None]:
    yield
    logged_in.execute_script("localStorage.removeItem('theme')")
    logged_in.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


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


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_is_readable_and_stands_alone(
    logged_in: Chrome, portal: Portal, won_session: str, name: str
) -> None:
    browser = logged_in
    set_width(browser, WIDE)
    console_errors(browser), hosts_asked(browser)
    browser.get(portal.url + PAGES[name].format(session=won_session))
    if name in DRAWN:
        wait(browser, DRAWN[name])
    found = {f"{width} px, {tone}": lines for width, tone, lines in _looked_at(browser, name)}
    assert {place: lines for place, lines in found.items() if lines} == {}
    assert hosts_asked(browser) <= {urlsplit(portal.url).netloc}
    errors = [error for error in console_errors(browser) if not (name == "not-found" and "404" in error)]
    assert not errors


def _looked_at(browser: Chrome, name: str) -> Iterator[tuple[int, str, list[str]]]:
    """What the open page does not keep to at each width, in light and dark. The style sheet alone decides what a width
    changes, so it is not loaded again.
    """
    for width in (WIDE, NARROW):
        set_width(browser, width)
        for tone in LOOKED_AT:
            set_theme(browser, tone)
            if SHOTS:
                _keep_picture(browser, f"{name}-{width}-{tone}")
            found = troubles_of_width(browser) if width == NARROW else troubles(browser, LOOKED_AT[tone])
            yield width, tone, found


@pytest.fixture(scope="module")
def visitor() -> Iterator[Chrome]:
    """A browser of somebody who has no account."""
    with new_browser() as driver:
        yield driver


@pytest.fixture(scope="module")
def shared(logged_in: Chrome, portal: Portal, won_session: str) -> str:
    """The path of a report that anybody may open who has the link."""
    logged_in.get(f"{portal.url}{won_session}links/")
    press_button(logged_in, "Make a link")
    return urlsplit(wait(logged_in, "#link-text").text).path


@pytest.mark.parametrize("name", VISITED)
def test_a_page_of_visitors_is_readable(visitor: Chrome, portal: Portal, shared: str, name: str) -> None:
    console_errors(visitor), hosts_asked(visitor)
    visitor.get(portal.url + VISITED[name].format(shared=shared))
    assert visitor.current_url.endswith(VISITED[name].format(shared=shared)), "no page of visitors"
    for tone, category in LOOKED_AT.items():
        set_theme(visitor, tone)
        assert troubles(visitor, category) == [], f"{name}, {tone}"
    assert hosts_asked(visitor) <= {urlsplit(portal.url).netloc}
    assert not console_errors(visitor)


def test_the_reference_draws_each_route_of_the_document(logged_in: Chrome, portal: Portal) -> None:
    hosts_asked(logged_in)
    logged_in.get(f"{portal.url}/api/docs/")
    WebDriverWait(logged_in, 20).until(lambda driver: len(driver.find_elements(By.CSS_SELECTOR, ".opblock")) > 100)
    assert wait(logged_in, "#nav"), "the portal's menu is beside it"
    click(logged_in, "#operations-teams-me_retrieve button.opblock-summary-control")
    click(logged_in, "#operations-teams-me_retrieve button.try-out__btn")
    click(logged_in, "#operations-teams-me_retrieve button.execute")
    wait_for_text(logged_in, "#operations-teams-me_retrieve .live-responses-table", portal.email)
    assert hosts_asked(logged_in) == {urlsplit(portal.url).netloc}


@pytest.mark.parametrize("name", ["dashboard", "sessions", "session", "version", "report", "audit"])
def test_the_first_view_of_a_page_is_light(logged_in: Chrome, portal: Portal, won_session: str, name: str) -> None:
    """With nothing in the cache, as it goes over the wire."""
    browser = logged_in
    browser.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
    try:
        bytes_received(browser)
        browser.get(portal.url + PAGES[name].format(session=won_session))
        WebDriverWait(browser, 10).until(
            lambda driver: driver.execute_script("return document.readyState") == "complete"
        )
        received = bytes_received(browser)
    finally:
        browser.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": False})
    assert 10_000 < received <= HEAVIEST.get(name, 100_000)


def bytes_received(browser: Chrome) -> int:
    """What all responses since the last look had, with their headers."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return sum(
        int(one["params"]["encodedDataLength"]) for one in messages if one["method"] == "Network.loadingFinished"
    )


def test_the_rules_see_what_is_wrong(logged_in: Chrome, portal: Portal) -> None:
    logged_in.get(portal.url)
    logged_in.execute_script(
        """document.querySelector('main').insertAdjacentHTML('beforeend',
        '<h4>too deep</h4><p style="color: #bbb; background: #fff">too pale</p><input><i id="nav"></i>'
        + '<div role="list"><p>no item</p></div>')"""
    )
    found = " ".join(troubles(logged_in))
    of_axe = ("heading-order: <h4", "color-contrast: <p", "label: <input", "aria-required-children: <div")
    for trouble in (*of_axe, "ids used twice: nav"):
        assert trouble in found


def test_the_graph_is_drawn_and_asks_for_nothing_that_is_not_there(logged_in: Chrome, portal: Portal) -> None:
    console_errors(logged_in)
    logged_in.get(f"{portal.url}{PAGES['graph']}")
    logged_in.switch_to.frame(wait(logged_in, "iframe.graph"))
    wait(logged_in, "#canvas .node, svg .node", 60)
    logged_in.switch_to.default_content()
    assert not console_errors(logged_in)


def test_the_graph_opens_at_a_layer(logged_in: Chrome, portal: Portal) -> None:
    logged_in.get(f"{portal.url}{PAGES['graph']}?node=stem.0")
    logged_in.switch_to.frame(wait(logged_in, "iframe.graph"))
    wait_for_text(logged_in, "#sidebar-content, .sidebar-content", "stem.0", 60)
    logged_in.switch_to.default_content()


def _keep_picture(browser: Chrome, name: str) -> None:
    folder = Path(str(SHOTS))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.png").write_bytes(picture_of(browser, longest=4000))


def test_the_first_tab_offers_to_skip_to_the_content(logged_in: Chrome, portal: Portal) -> None:
    logged_in.get(portal.url)
    logged_in.switch_to.active_element.send_keys(Keys.TAB)
    focused = logged_in.switch_to.active_element
    assert focused.text == "Skip to the content"
    focused.send_keys(Keys.ENTER)
    assert logged_in.execute_script("return document.activeElement.id") == "content"


@pytest.mark.parametrize("way", ["pointer", "keyboard"])
def test_two_sessions_are_chosen_and_compared(logged_in: Chrome, portal: Portal, won_session: str, way: str) -> None:
    browser = logged_in

    def use(selector: str, key: str = Keys.ENTER) -> None:
        if way == "pointer":
            return click(browser, selector)
        tab_to(browser, selector)
        return press(browser, key)

    browser.get(f"{portal.url}/sessions/")
    if way == "keyboard":
        tab_into_content(browser)
    for place in (1, 2):
        use(f"#history tr:nth-child({place}) [name=item]", Keys.SPACE)
    wait_for_text(browser, "#compare-form [data-chosen]", "2 chosen")
    if way == "keyboard":  # back from the rows, past the buttons for several of them
        tab_to(browser, COMPARE, back=True)
        press(browser, Keys.ENTER)
    else:
        click(browser, COMPARE)
    assert len(wait(browser, "#compare-items").find_elements(By.CSS_SELECTOR, "li")) >= 2
    use("#compare-only")
    WebDriverWait(browser, 10).until(lambda driver: "only=differences" in driver.current_url)
    assert not browser.find_elements(By.XPATH, "//main//td[@data-label='Differs'][contains(., 'same')]")


def test_the_menu_of_a_narrow_screen_opens_by_keyboard(logged_in: Chrome, portal: Portal) -> None:
    set_width(logged_in, NARROW)
    logged_in.get(portal.url)
    button = logged_in.find_element(By.CSS_SELECTOR, ".menu-toggle")
    assert not logged_in.find_element(By.ID, "nav").is_displayed()
    button.send_keys(Keys.ENTER)
    assert logged_in.find_element(By.ID, "nav").is_displayed()
    assert button.get_attribute("aria-expanded") == "true"


def test_the_theme_is_kept(logged_in: Chrome, portal: Portal) -> None:
    set_width(logged_in, 1440)
    logged_in.get(portal.url)
    logged_in.find_element(By.CSS_SELECTOR, "[data-action=theme]").click()
    chosen = logged_in.execute_script("return document.documentElement.dataset.theme")
    logged_in.refresh()
    assert logged_in.execute_script("return document.documentElement.dataset.theme") == chosen
