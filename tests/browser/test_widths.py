"""Every page from 320 to 2,560 pixels: nothing is cut off, nothing makes it wider than its window, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.template import Template
from django.test.signals import template_rendered
from selenium.webdriver import Chrome

from apps.accounts.models import Role, Team, User
from lathe.env import PROJECT_ROOT
from tests.browser.chromium import log_in, set_theme, set_width
from tests.browser.page_rules import too_wide, troubles
from tests.people import made_person
from tests.portal import world
from tests.portal.every_page import AFTER_A_FORM, EVERY_PAGE

pytestmark = pytest.mark.django_db(transaction=True)

WIDTHS = (320, 390, 1440, 2560)
PAGE = '{% extends "base.html" %}'


def test_no_page_is_wider_than_its_window(browser: Chrome, live_server: Any, team: Team) -> None:
    member = made_person("olga@example.org", team, Role.OWNER)
    User.objects.filter(pk=member.pk).update(is_staff=True, is_superuser=True, tour="ended")
    everything = world.build(team, member)
    found: dict[str, list[str]] = {}
    log_in(browser, live_server.url, member)
    with templates_shown() as shown:
        for name, address in EVERY_PAGE.items():
            browser.get(live_server.url + address(everything))
            found[name] = troubles_at_all_widths(browser)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert {name: lines for name, lines in found.items() if lines} == {}
    assert all_pages() - shown - AFTER_A_FORM == set(), "EVERY_PAGE lacks pages with these templates"


def troubles_at_all_widths(browser: Chrome) -> list[str]:
    """Where the open page does not fit, and all that it does not keep to where it is narrowest, in the dark. The style
    sheet alone decides what a width changes, so it is not loaded again.
    """
    lines = []
    for width in WIDTHS:
        set_width(browser, width)
        lines += [f"{width} px: {line}" for line in too_wide(browser)]
    set_width(browser, WIDTHS[0])
    set_theme(browser, "dark")
    return lines + [f"{WIDTHS[0]} px, dark: {line}" for line in troubles(browser)]


@contextmanager
def templates_shown() -> Iterator[set[str]]:
    """The names of the templates that are rendered meanwhile, by this process's server too."""
    names: set[str] = set()

    def note(sender: object, template: Template, **_: Any) -> None:
        names.add(str(template.name))

    template_rendered.connect(note)
    try:
        yield names
    finally:
        template_rendered.disconnect(note)


def all_pages() -> set[str]:
    """The templates of whole pages behind the login."""
    folder = PROJECT_ROOT / "templates"
    return {str(file.relative_to(folder)) for file in folder.rglob("*.html") if file.read_text().startswith(PAGE)}
