"""No page asks the database often, whatever stands on it."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Team, User
from apps.optimization.models import PipelineSettings
from tests.portal import world
from tests.portal.every_page import EVERY_PAGE
from tests.portal.world import World

pytestmark = pytest.mark.django_db

MOST = 20
OF_OPERATORS = ("operations", "styleguide")


@pytest.fixture
def everything(team: Team, owner: User) -> World:
    """As it is in use: the verdict has its headline, the settings have their row, and the browser is known."""
    made = world.build(team, owner)
    made.session.verdict["headline"] = {"tone": "good", "sentence": "4.2 times faster"}
    made.session.save()
    PipelineSettings.current()
    return made


def test_every_page_takes_few_queries(client: Client, everything: World, owner: User) -> None:
    client.force_login(owner)
    client.get("/")
    taken = {name: queries(client, EVERY_PAGE[name](everything)) for name in EVERY_PAGE if name not in OF_OPERATORS}
    User.objects.filter(pk=owner.pk).update(is_staff=True, is_superuser=True)
    taken |= {name: queries(client, EVERY_PAGE[name](everything)) for name in OF_OPERATORS}
    assert {name: number for name, number in taken.items() if number > MOST} == {}
    assert min(taken.values()) > 0


def queries(client: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as asked:
        client.get(path)
    return len(asked)
