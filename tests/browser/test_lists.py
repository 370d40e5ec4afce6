"""A list is put in order by its heads: by mouse, by keyboard, and on a phone, which has no heads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from apps.accounts.models import Team, User
from apps.models.models import RegisteredModel
from tests.browser.chromium import log_in, set_width
from tests.browser.conftest import PAGE_CHANGING, click, wait
from tests.browser.keyboard import press, tab_into_content, tab_to, wait_for_focus
from tests.browser.page_rules import troubles
from tests.portal import world

pytestmark = pytest.mark.django_db(transaction=True)
ROWS = "#model-results tbody tr th a"


@pytest.fixture
def models(browser: Chrome, live_server: Any, team: Team, owner: User) -> Iterator[Chrome]:
    """The page of the models of a team that has four, with the same words in two names."""
    User.objects.filter(pk=owner.pk).update(tour="ended", language="en-gb")
    world.build(team, owner)
    for name in ("aircraft", "birds at night", "birds by day"):
        RegisteredModel.objects.create(team=team, name=name)
    log_in(browser, live_server.url, owner)
    browser.get(f"{live_server.url}/models/")
    yield browser
    set_width(browser, 1280)


def names(browser: Chrome) -> list[str]:
    return [one.text for one in browser.find_elements(By.CSS_SELECTOR, ROWS)]


def asked(browser: Chrome) -> dict[str, list[str]]:
    return parse_qs(urlsplit(browser.current_url).query)


def wait_for_order(browser: Chrome, column: str, state: str) -> None:
    """The head says it, and the address too."""
    wait(browser, f"th[aria-sort={state}] > #order-{column}")
    WebDriverWait(browser, 30, ignored_exceptions=PAGE_CHANGING).until(lambda _: "ordering" in asked(browser))


def test_a_head_is_pressed_and_the_order_outlives_the_search_and_a_reload(models: Chrome) -> None:
    assert names(models) == ["aircraft", "birds at night", "birds by day", "resnet"]
    click(models, "#order-size")
    wait_for_order(models, "size", "descending")
    assert names(models)[0] == "resnet", "what is not known comes last"
    click(models, "#order-name")
    wait_for_order(models, "name", "ascending")
    click(models, "#order-name")
    wait_for_order(models, "name", "descending")
    models.find_element(By.ID, "search").send_keys("birds")
    patience = WebDriverWait(models, 30, ignored_exceptions=PAGE_CHANGING)
    patience.until(lambda _: names(models) == ["birds by day", "birds at night"])
    assert asked(models) == {"search": ["birds"], "ordering": ["-name"]}, "the search keeps the order"
    models.refresh()
    wait_for_order(models, "name", "descending")
    assert names(models) == ["birds by day", "birds at night"]


def test_a_list_is_put_in_order_by_keyboard(models: Chrome) -> None:
    usual = names(models)
    tab_into_content(models)
    tab_to(models, "#order-name")
    press(models, Keys.ENTER)
    wait_for_order(models, "name", "descending")
    wait_for_focus(models, "#order-name")
    assert names(models) == usual[::-1]
    press(models, Keys.ENTER)
    wait_for_order(models, "name", "ascending")
    wait_for_focus(models, "#order-name")
    assert names(models) == usual
    assert troubles(models) == []


def test_a_phone_chooses_the_order_from_a_list(models: Chrome) -> None:
    usual = names(models)
    set_width(models, 320)
    Select(wait(models, "#ordering")).select_by_value("-name")
    patience = WebDriverWait(models, 30, ignored_exceptions=PAGE_CHANGING)
    patience.until(lambda _: names(models) == usual[::-1])
    assert asked(models)["ordering"] == ["-name"]
    assert troubles(models) == []
