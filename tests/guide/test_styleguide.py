"""The style guide: for those who work on the portal, and true to the stylesheet."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.test import Client

from apps.accounts.models import User
from apps.guide.views import COLOURS, NOTICES, SHADES, TONES

pytestmark = pytest.mark.django_db
CSS = (settings.STATICFILES_DIRS[0] / "lathe.css").read_text()


def test_it_is_for_operators(client: Client, owner: User) -> None:
    client.force_login(owner)
    assert client.get("/styleguide/").status_code == 403
    owner.is_staff = True
    owner.save()
    assert client.get("/styleguide/").status_code == 200
    client.logout()
    assert client.get("/styleguide/").status_code == 302


def test_every_tone_and_colour_of_the_stylesheet_is_shown() -> None:
    assert set(re.findall(r"\.badge-(\w+) \{", CSS)) == {tone for tone, _ in TONES}
    assert set(re.findall(r"\.notice-(ok|warn|bad|busy|void)\b", CSS)) == {tone for tone, _ in NOTICES}
    tokens = set(re.findall(r"^  --([a-z-]+): light-dark", CSS, re.MULTILINE))
    assert {name for name in tokens if not name.endswith("-soft") or name == "ink-soft"} - {"on-accent"} == {
        name for name, _ in COLOURS
    }


COMPONENTS = ("tabs", "heat", "list-options", "palette", "items", "badge-live", "as-hover", "as-focus")


def test_the_parts_of_pages_are_shown(client: Client, owner: User) -> None:
    owner.is_staff = True
    owner.save()
    client.force_login(owner)
    shown = set(re.findall(r"[\w-]+", " ".join(re.findall(r'class="([^"]*)"', _content(client)))))
    assert shown >= {*COMPONENTS, *(f"heat-{shade}" for shade in SHADES)}
    assert set(re.findall(r"\.heat-(\d+) \{", CSS)) == {str(shade) for shade in SHADES}


def _content(client: Client) -> str:
    """The page without the portal's frame, which has a palette and a menu of its own."""
    return client.get("/styleguide/").content.decode().partition("<main")[2].partition("</main>")[0]
