"""No page asks the database often, whatever stands on it."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.accounts.models import Team, User
from tests.portal import world
from tests.portal.every_page import EVERY_PAGE, in_use
from tests.portal.world import World

pytestmark = pytest.mark.django_db

MOST = 20
MOST_OF_PREVIEW = 22
"""It is no page of its own, and reads what earlier sessions teach besides."""
OF_OPERATORS = ("operations", "settings-of-the-installation", "styleguide")


@pytest.fixture
def everything(team: Team, owner: User) -> World:
    return in_use(world.build(team, owner))


def test_every_page_takes_few_queries(client: Client, everything: World, owner: User) -> None:
    paths = {name: address(everything) for name, address in EVERY_PAGE.items()}
    client.force_login(owner)
    client.get("/")
    taken = {name: queries(client, path) for name, path in paths.items() if name not in OF_OPERATORS}
    User.objects.filter(pk=owner.pk).update(is_staff=True, is_superuser=True)
    taken |= {name: queries(client, paths[name]) for name in OF_OPERATORS}
    assert {name: number for name, number in taken.items() if number > MOST} == {}
    assert min(taken.values()) > 0


def test_the_preview_of_a_session_takes_as_few(client: Client, everything: World, owner: User) -> None:
    client.force_login(owner)
    asked = {"version": everything.version.pk, "dataset": everything.dataset.pk, "criteria_set": everything.criteria.pk}
    client.post(reverse("optimization:session-preview"), asked)
    with CaptureQueriesContext(connection) as taken:
        page = client.post(reverse("optimization:session-preview"), asked).content.decode()
    assert "Static int8" in page
    assert len(taken) <= MOST_OF_PREVIEW


def queries(client: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as asked:
        client.get(path)
    return len(asked)
