"""What a member dismisses from the dashboard, for themselves and until something new happens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.agents.contracts.state import Status
from apps.models.models import InspectionStatus
from apps.optimization.models import Dismissal, OptimizationSession
from tests.api.conftest import Api
from tests.api.conftest import api as api
from tests.api.conftest import one_contract as one_contract
from tests.portal import world
from tests.portal.world import World

pytestmark = pytest.mark.django_db
HTMX: dict[str, Any] = {"headers": {"HX-Request": "true"}}


@pytest.fixture
def everything(team: Team, owner: User, engineer: User, viewer: User) -> World:
    made = world.build(team, owner)
    OptimizationSession.objects.update(status=Status.FAILED, outcome="", verdict=None, error="No room.")
    for row in (made.version, made.dataset):
        type(row).objects.filter(pk=row.pk).update(status=InspectionStatus.REFUSED, refusal="Damaged.")
    return made


def items(client: Client, person: User) -> set[str]:
    """The kinds of items that the member can dismiss."""
    client.force_login(person)
    html = client.get("/").content.decode()
    return {one.split("-")[0] for one in html.split('id="dismiss-')[1:]}


@pytest.mark.parametrize("kind", ["session", "version", "dataset", "alias_request"])
def test_an_item_is_dismissed_for_one_member(
    client: Client, everything: World, owner: User, engineer: User, kind: str
) -> None:
    assert items(client, owner) == {"session", "version", "dataset", "alias_request"}
    row = everything.request if kind == "alias_request" else getattr(everything, kind)
    html = client.post(f"/dismiss/{kind}/{row.pk}/", **HTMX).content.decode()
    assert 'id="dashboard"' in html
    assert f'id="dismiss-{kind}-{row.pk}"' not in html
    assert items(client, owner) == {"session", "version", "dataset", "alias_request"} - {kind}
    assert "session" in items(client, engineer)


def test_it_works_without_a_script_and_twice(client: Client, everything: World, viewer: User) -> None:
    client.force_login(viewer)
    for _ in range(2):
        assert client.post(f"/dismiss/session/{everything.session.pk}/").headers["Location"] == "/"
    assert Dismissal.objects.count() == 1


def test_a_session_that_fails_again_comes_back(client: Client, everything: World, owner: User) -> None:
    client.force_login(owner)
    client.post(f"/dismiss/session/{everything.session.pk}/")
    assert "session" not in items(client, owner)
    OptimizationSession.objects.update(finished_at=timezone.now() + timedelta(minutes=1))
    assert "session" in items(client, owner)


@pytest.mark.parametrize("address", ["session/7/", "version/x/", f"version/{10**30}/", "team/1/"])
def test_what_is_not_there_is_not_found(client: Client, everything: World, owner: User, address: str) -> None:
    client.force_login(owner)
    assert client.post(f"/dismiss/{address}").status_code == 404


def test_a_program_dismisses_one_item_at_a_time(
    client: Client, api: Api, everything: World, owner: User, stranger: User
) -> None:
    mine = api(owner)
    both = {"session": str(everything.session.pk), "version": everything.version.pk}
    for wrong in ({}, both):
        answer = mine.post("/api/v1/dismissals/", wrong, format="json")
        assert answer.status_code == 400
        assert answer.json()["code"]
    assert mine.post("/api/v1/dismissals/", {"version": everything.version.pk}, format="json").status_code == 204
    assert items(client, owner) == {"session", "dataset", "alias_request"}
    assert api(stranger).post("/api/v1/dismissals/", {"version": everything.version.pk}).status_code == 404
