"""A form that is sent without a single answer is checked like any other: it is no visit to the page."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Role, Team, User
from apps.accounts.services import invite
from tests.portal import world
from tests.portal.world import World

pytestmark = pytest.mark.django_db

Address = Callable[[World], str]


@pytest.fixture
def everything(team: Team, owner: User) -> World:
    return world.build(team, owner)


@pytest.mark.parametrize(
    "address",
    [
        lambda made: reverse("accounts:time-zone"),
        lambda made: reverse("notifications:new"),
        lambda made: reverse("optimization:session-continue", args=[made.session.pk]),
        lambda made: reverse("optimization:session-new"),
        lambda made: reverse("optimization:session-compare"),
        lambda made: reverse("optimization:criteria-new"),
    ],
    ids=["time-zone", "channel", "continue", "session", "comparison", "criteria"],
)
def test_a_page_says_what_is_missing(client: Client, everything: World, owner: User, address: Address) -> None:
    client.force_login(owner)
    everything.session.steps.filter(key="analyse").update(identity="0" * 64)  # Another session can take it over.
    answer = client.post(address(everything))
    assert answer.status_code == 422
    assert 'class="error"' in answer.content.decode()


def test_an_invitation_says_so_too(
    client: Client, team: Team, owner: User, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        invite(by=owner, team=team, email="new@example.org", role=Role.VIEWER)
    found = re.search(r"/invitations/[^/]+/", str(mail.outbox[-1].body))
    assert found
    answer = client.post(found[0])
    assert answer.status_code == 422
    assert 'class="error"' in answer.content.decode()


def test_the_address_of_a_posted_preview_answers_nothing(client: Client, everything: World, owner: User) -> None:
    client.force_login(owner)
    asked = f"?version={everything.version.pk}&dataset={everything.dataset.pk}&criteria_set={everything.criteria.pk}"
    address = reverse("optimization:session-preview")
    assert "Static int8" in client.get(address + asked).content.decode()
    assert "Static int8" not in client.post(address + asked).content.decode()
