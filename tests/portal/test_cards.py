"""The card of a session, on its page and over the API."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.optimization.errors.results import NoCard
from tests.portal import world
from tests.portal.world import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def everything(team, owner: User) -> World:
    return world.build(team, owner)


def test_a_finished_session_has_a_card(client: Client, everything: World, owner: User) -> None:
    client.force_login(owner)
    card = client.get(f"/sessions/{everything.session.pk}/card/")
    assert card["Content-Type"].startswith("text/markdown")
    assert "resnet" in card.content.decode()


def test_a_comparison_has_none_and_says_why(client: Client, everything: World, owner: User) -> None:
    everything.session.compared = everything.version
    everything.session.save()
    client.force_login(owner)
    answer = client.get(f"/sessions/{everything.session.pk}/card/")
    assert answer.status_code == NoCard.status
    assert NoCard.code in answer.content.decode()
