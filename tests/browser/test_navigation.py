"""From page to page: the frame stands still, nothing flickers, and history, title and focus are the browser's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from apps.accounts.models import Role, Team, User
from tests.browser.chromium import log_in
from tests.people import made_person
from tests.portal import world
from tests.portal.world import World

pytestmark = pytest.mark.django_db(transaction=True)

NOTED = """addEventListener("pagereveal", (event) => {
  window.transition = Boolean(event.viewTransition);
  event.viewTransition?.ready.then(() => {
    const animated = document.getAnimations().map((one) => one.effect.pseudoElement ?? "");
    window.animated = animated.filter((one) => one.startsWith("::view-transition"));
    window.overlay = getComputedStyle(document.documentElement, "::view-transition").pointerEvents;
  });
});"""
"""Run before a page's own scripts: how it was revealed, and what moved meanwhile."""
FADING = {"::view-transition-old(root)", "::view-transition-new(root)"}


@pytest.fixture
def there(browser: Chrome, live_server: Any, team: Team) -> Iterator[World]:
    """The dashboard, opened by a member."""
    member = made_person("olga@example.org", team, Role.OWNER)
    User.objects.filter(pk=member.pk).update(tour="ended")
    made = world.build(team, member)
    log_in(browser, live_server.url, member)
    noted = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": NOTED})
    browser.get(f"{live_server.url}/")
    yield made
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", noted)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def follow(browser: Chrome, address: str, title: str) -> None:
    browser.find_element(By.CSS_SELECTOR, f'a[href="{address}"]').click()
    arrived(browser, title)


def arrived(browser: Chrome, title: str) -> None:
    WebDriverWait(browser, 20).until(lambda page: page.title == title)
    WebDriverWait(browser, 20).until(lambda page: page.execute_script("return document.readyState") == "complete")


def test_only_the_content_fades_and_presses_reach_the_new_page(browser: Chrome, there: World) -> None:
    follow(browser, "/sessions/", "Sessions · Lathe")
    assert browser.execute_script("return window.transition") is True
    animated = WebDriverWait(browser, 10).until(lambda page: page.execute_script("return window.animated"))
    assert set(animated) <= FADING | {"::view-transition-group(root)", "::view-transition-image-pair(root)"}
    assert set(animated) & FADING
    assert browser.execute_script("return window.overlay") == "none"


def test_whoever_wants_less_motion_sees_none(browser: Chrome, there: World) -> None:
    reduced = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", reduced)
    follow(browser, "/sessions/", "Sessions · Lathe")
    assert browser.execute_script("return window.transition") is False


def test_back_and_forward_keep_title_address_and_place(browser: Chrome, there: World, live_server: Any) -> None:
    report = f"{live_server.url}/sessions/{there.session.pk}/report/"
    browser.get(report)
    browser.execute_script("scrollTo(0, 900)")
    follow(browser, "/models/", "Models · Lathe")
    assert browser.execute_script("return document.activeElement === document.body"), "the next Tab begins at the top"
    browser.back()
    arrived(browser, "Report on resnet v1 · Lathe")
    assert browser.current_url == report
    assert WebDriverWait(browser, 10).until(lambda page: page.execute_script("return scrollY") == 900)
    browser.forward()
    arrived(browser, "Models · Lathe")


def test_a_page_that_is_not_there_and_a_login_come_as_pages(browser: Chrome, there: World, live_server: Any) -> None:
    browser.execute_script("location.href = '/models/999999/'")
    WebDriverWait(browser, 20).until(
        lambda page: "999999" in page.current_url and page.find_elements(By.TAG_NAME, "h1")
    )
    assert browser.find_elements(By.CSS_SELECTOR, 'a[href="/"]')
    browser.get(f"{live_server.url}/")
    browser.delete_all_cookies()
    browser.find_element(By.CSS_SELECTOR, 'a[href="/models/"]').click()
    WebDriverWait(browser, 20).until(lambda page: "/accounts/login/?next=/models/" in page.current_url)
