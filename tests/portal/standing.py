"""The cast and one of everything, made once a file: for files that walk every page or route as everybody.

The rows stand in a transaction around the file's tests, so each test sees them as they were made, and none outlives the
file. The objects are each test's own copies.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import transaction

from apps.accounts.models import Role, Team, User
from tests.people import made_person
from tests.portal import world
from tests.portal.world import World


@dataclass
class Standing:
    owner: User
    engineer: User
    viewer: User
    stranger: User
    """An owner, but of another team."""
    everything: World


def _built() -> Standing:
    team = Team.objects.create(name="Vision", slug="vision")
    other = Team.objects.create(name="Speech", slug="speech")
    owner = made_person("olga@example.org", team, Role.OWNER)
    return Standing(
        owner,
        made_person("emil@example.org", team, Role.ENGINEER),
        made_person("vera@example.org", team, Role.VIEWER),
        made_person("sven@example.org", other, Role.OWNER),
        world.build(team, owner),
    )


@pytest.fixture(scope="module")
def _standing_rows(django_db_setup: None, django_db_blocker: Any) -> Iterator[bytes]:
    around = transaction.atomic()
    around._from_testcase = True  # type: ignore[attr-defined]  # what is durable may begin inside, as in any test
    with django_db_blocker.unblock(), around:
        made = pickle.dumps(_built())
        with django_db_blocker.block():
            yield made
        transaction.set_rollback(True)


@pytest.fixture
def standing(_standing_rows: bytes, db: None) -> Standing:
    copied: Standing = pickle.loads(_standing_rows)  # noqa: S301 - this module's own
    return copied
