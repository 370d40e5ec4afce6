"""Takes a picture of every page in each state, and holds it against the accepted one: `make screenshots`.

With LATHE_TEST_ACCEPT=1 what is seen becomes what is accepted. What differs is drawn into build/screenshots, with the
accepted picture beside it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from selenium.webdriver import Chrome
from selenium.webdriver.support.wait import WebDriverWait

from apps.accounts.models import Role, Team, User
from lathe.env import PROJECT_ROOT
from tests.browser.chromium import log_in, new_browser, picture_of, set_theme, set_width
from tests.people import made_person
from tests.portal import world
from tests.portal.every_page import EVERY_PAGE
from tests.screenshots.comparing import difference, kept, marked
from tests.screenshots.places import EMPTY, VISITED

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

HERE = Path(__file__).parent
ACCEPTED = HERE / "accepted"
DIFFERING = PROJECT_ROOT / "build" / "screenshots"
ACCEPT = os.environ.get("LATHE_TEST_ACCEPT") == "1"
LOOKS = ((1440, "light"), (1440, "dark"), (390, "light"))
MAIN = frozenset(
    {"dashboard", "sessions", "session", "session-new", "report", "models", "model", "version", "datasets"}
)
"""Pages of which there is a picture narrow and dark too."""
LONGEST = 2600
"""Pixels of a page that are kept: what comes below repeats what is above it."""
QUIET = """return document.readyState === "complete" && !document.querySelector(".htmx-request")
    && (!document.querySelector("#reference") || document.querySelector("#reference .opblock"))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with new_browser() as chromium:
        yield chromium


@pytest.fixture
def member(team: Team) -> User:
    """Who sees every page. The tour, which covers none of them, is over."""
    person = made_person("olga@example.org", team, Role.OWNER)
    User.objects.filter(pk=person.pk).update(
        is_staff=True, is_superuser=True, tour="ended", time_zone="UTC", language="en-gb"
    )
    person.refresh_from_db()
    return person


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_a_page_looks_as_accepted(browser: Chrome, live_server: Any, team: Team, member: User, name: str):
    address = EVERY_PAGE[name](world.build(team, member))
    log_in(browser, live_server.url, member)
    _hold(browser, live_server.url + address, name)


@pytest.mark.parametrize("name", VISITED)
def test_a_page_of_visitors_looks_as_accepted(browser: Chrome, live_server: Any, team: Team, member: User, name: str):
    address = VISITED[name](world.build(team, member))
    browser.get(f"{live_server.url}/health/")
    browser.delete_all_cookies()
    _hold(browser, live_server.url + address, name)


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_page_looks_as_accepted(browser: Chrome, live_server: Any, member: User, name: str):
    log_in(browser, live_server.url, member)
    _hold(browser, live_server.url + reverse(EMPTY[name]), name)


def _hold(browser: Chrome, address: str, name: str) -> None:
    """Takes the pictures of one page, and fails with the names of those that differ."""
    troubles = []
    for width, tone in (*LOOKS, *(((390, "dark"),) if name in MAIN else ())):
        set_width(browser, width)
        browser.get(address)
        set_theme(browser, tone)
        WebDriverWait(browser, 20).until(lambda chromium: chromium.execute_script(QUIET))
        browser.execute_script((HERE / "steady.js").read_text())
        troubles.append(_trouble(f"{name}-{width}-{tone}", kept(picture_of(browser, LONGEST))))
    assert not any(troubles), "\n".join(filter(None, troubles))


def _trouble(name: str, seen: bytes) -> str | None:
    """How a picture differs, and where that is drawn; `None` if it looks as accepted."""
    path = ACCEPTED / f"{name}.webp"
    if ACCEPT:
        if not path.exists() or not difference(path.read_bytes(), seen).tolerable:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(seen)
        return None
    if not path.exists():
        return f"{name}: no picture was accepted yet. Look at the page, and run `make screenshots ACCEPT=1`."
    found = difference(path.read_bytes(), seen)
    if found.tolerable:
        return None
    DIFFERING.mkdir(parents=True, exist_ok=True)
    marked(path.read_bytes(), seen).save(DIFFERING / f"{name}.png")
    return f"{name}: {found.reason}; see {DIFFERING / name}.png, the accepted one on the left."
