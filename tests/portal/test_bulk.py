"""Several rows at once: what will happen is shown first, and failures are told by item."""

from __future__ import annotations

from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from apps.accounts import service_accounts
from apps.accounts.models import ApiToken, Role, Team, User
from apps.agents.contracts.state import Status
from apps.audit.models import AuditEvent
from apps.bulk import MOST
from apps.models.models import DataSet, RegisteredModel
from apps.notifications.models import BellEntry, Delivery, Notification
from apps.optimization.models import OptimizationSession, SessionTemplate
from tests.portal import world
from tests.portal.world import World

pytestmark = pytest.mark.django_db
SESSIONS, MODELS, DATASETS = "/sessions/bulk/", "/models/bulk/", "/datasets/bulk/"


@pytest.fixture
def everything(team: Any, owner: User, engineer: User, viewer: User) -> World:
    return world.build(team, owner)


@pytest.fixture
def running(everything: World) -> OptimizationSession:
    """A second session, which runs."""
    other = OptimizationSession.objects.get(pk=everything.session.pk)
    other.pk, other.status, other.outcome, other.verdict = uuid4(), Status.RUNNING, "", None
    other.save(force_insert=True)
    return other


def item(session: OptimizationSession) -> str:
    return f"session:{session.pk}"


def test_the_list_offers_it_to_those_who_may(client: Client, everything: World, engineer: User, viewer: User) -> None:
    client.force_login(engineer)
    assert f'formaction="{SESSIONS}"' in client.get("/sessions/").content.decode()
    assert f'action="{DATASETS}"' in client.get("/datasets/").content.decode()
    assert f'action="{MODELS}"' in client.get("/models/").content.decode()
    client.force_login(viewer)
    assert f'formaction="{SESSIONS}"' not in client.get("/sessions/").content.decode()
    assert f'action="{DATASETS}"' not in client.get("/datasets/").content.decode()
    assert f'action="{MODELS}"' not in client.get("/models/").content.decode()
    assert client.get(SESSIONS, {"act": "delete", "item": item(everything.session)}).status_code == 403


@pytest.mark.parametrize(("address", "bulk"), [("/models/", MODELS), ("/datasets/", DATASETS)])
def test_an_empty_list_offers_nothing_and_a_search_without_a_hit_can_still_be_widened(
    client: Client, team: Team, engineer: User, address: str, bulk: str
) -> None:
    client.force_login(engineer)
    assert f'action="{bulk}"' not in client.get(address).content.decode()
    assert f'action="{bulk}"' in client.get(address, {"search": "no such name"}).content.decode()


def test_what_will_happen_is_shown_and_nothing_happens_yet(
    client: Client, everything: World, running: OptimizationSession, engineer: User
) -> None:
    client.force_login(engineer)
    answer = client.get(SESSIONS, {"act": "delete", "item": [item(everything.session), item(running)]})
    html = unescape(answer.content.decode())
    assert "Delete 1 session?" in html
    assert "It is running. Cancel it first." in html
    assert f'value="{item(everything.session)}"' in html
    assert f'value="{item(running)}"' not in html
    assert OptimizationSession.objects.count() == 2


def test_each_is_checked_recorded_and_told_by_itself(
    client: Client, everything: World, running: OptimizationSession, engineer: User
) -> None:
    client.force_login(engineer)
    answer = client.post(SESSIONS, {"act": "delete", "item": [item(everything.session), item(running)]})
    html = unescape(answer.content.decode())
    assert "1 session deleted" in html
    assert "1 could not be deleted:" in html
    assert "session.move_refused" in html
    assert list(OptimizationSession.objects.all()) == [running]
    assert AuditEvent.objects.get(action="session.deleted").user_id == engineer.pk


def test_sessions_are_cancelled_and_resumed(
    client: Client, everything: World, running: OptimizationSession, engineer: User
) -> None:
    client.force_login(engineer)
    assert (
        "1 session being cancelled" in client.post(SESSIONS, {"act": "cancel", "item": item(running)}).content.decode()
    )
    running.refresh_from_db()
    assert running.cancel_requested_at is not None
    OptimizationSession.objects.filter(pk=running.pk).update(status=Status.FAILED, cancel_requested_at=None)
    body = {"act": "resume", "sessions": [str(running.pk), str(everything.session.pk)]}
    answer = client.post("/api/v1/sessions/bulk/", body, content_type="application/json")
    codes = {one["id"]: one["code"] for one in answer.json()["outcomes"]}
    assert codes == {str(running.pk): None, str(everything.session.pk): "session.move_refused"}


def test_data_sets_that_are_used_stay(client: Client, everything: World, engineer: User) -> None:
    used = everything.dataset
    free = DataSet.objects.create(team=used.team, name="spare", blob=used.blob, filename="x.npz", spec=used.spec)
    client.force_login(engineer)
    both = {"act": "delete", "item": [f"data set:{used.pk}", f"data set:{free.pk}"]}
    assert "1 session uses it" in client.get(DATASETS, both).content.decode()
    html = client.post(DATASETS, both).content.decode()
    assert "1 data set deleted" in html
    assert "dataset.in_use" in html
    assert list(DataSet.objects.all()) == [used]


def test_models_that_are_used_stay(client: Client, everything: World, engineer: User) -> None:
    used = everything.model
    free = RegisteredModel.objects.create(team=used.team, name="spare")
    client.force_login(engineer)
    both = {"act": "delete", "item": [f"model:{used.pk}", f"model:{free.pk}"]}
    shown = client.get(MODELS, both).content.decode()
    assert "1 session uses it" in shown
    assert "Delete 1 model?" in shown
    html = client.post(MODELS, both).content.decode()
    assert "1 model deleted" in html
    assert "model.in_use" in html
    assert list(RegisteredModel.objects.all()) == [used]
    assert AuditEvent.objects.get(action="model.deleted").subject == "spare"


def test_models_are_deleted_through_the_api(client: Client, everything: World, engineer: User) -> None:
    free = RegisteredModel.objects.create(team=everything.model.team, name="spare")
    client.force_login(engineer)
    body = {"act": "delete", "models": [free.pk, everything.model.pk]}
    answer = client.post("/api/v1/models/bulk/", body, content_type="application/json")
    codes = {one["id"]: one["code"] for one in answer.json()["outcomes"]}
    assert codes == {str(free.pk): None, str(everything.model.pk): "model.in_use"}


def test_rows_of_others_are_as_if_they_were_not_there(client: Client, everything: World, stranger: User) -> None:
    client.force_login(stranger)
    answer = client.post(SESSIONS, {"act": "delete", "item": item(everything.session)})
    assert (answer.status_code, OptimizationSession.objects.count()) == (422, 1)
    assert "Nothing is chosen" in answer.content.decode()


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"act": "delete"}, "bulk.empty"),
        ({"act": "delete", "item": ["session:x", "session:" + "9" * 40]}, "bulk.empty"),
        ({"act": "explode", "item": "session:x"}, "bulk.act_unknown"),
        ({"act": "delete", "item": [f"session:{uuid4()}" for _ in range(MOST + 1)]}, "bulk.too_many"),
    ],
)
def test_what_makes_no_sense_is_said(
    client: Client, everything: World, engineer: User, query: dict[str, Any], code: str
) -> None:
    client.force_login(engineer)
    answer = client.get(SESSIONS, query)
    assert answer.status_code == 422
    assert f"#{code}" in answer.content.decode()


def test_tokens_are_revoked_by_their_owner_alone(
    client: Client, everything: World, owner: User, engineer: User
) -> None:
    theirs = {"act": "revoke", "item": f"token:{everything.token.token_key}"}
    client.force_login(engineer)
    assert client.post("/tokens/bulk/", theirs).status_code == 422, "as if it were not there"
    client.force_login(owner)
    shown = client.get("/tokens/bulk/", theirs).content.decode()
    assert "Revoke 1 token?" in shown
    assert everything.token.digest not in shown
    assert "1 token revoked" in client.post("/tokens/bulk/", theirs).content.decode()
    assert not ApiToken.objects.filter(pk=everything.token.pk).exists()
    event = AuditEvent.objects.get(action="token.revoked")
    assert (event.user_id, event.subject) == (owner.pk, everything.token.name)


def test_service_accounts_are_disabled_by_owners_and_say_what_they_are_already(
    client: Client, everything: World, owner: User, engineer: User
) -> None:
    spare = service_accounts.create(by=owner, team=everything.team, name="spare", role=Role.VIEWER)
    service_accounts.change(spare, by=owner, disabled=True)
    both = {"item": [f"service account:{everything.service.pk}", f"service account:{spare.pk}"]}
    path = "/team/service-accounts/bulk/"
    client.force_login(engineer)
    assert client.post(path, {"act": "disable", **both}).status_code == 403
    client.force_login(owner)
    shown = client.get(path, {"act": "disable", **both}).content.decode()
    assert "Disable 1 service account?" in shown
    assert "It is disabled already." in shown
    client.post(path, {"act": "disable", **both})
    assert not ApiToken.objects.filter(pk=everything.service_token.pk).exists()
    assert AuditEvent.objects.filter(action="service_account.disabled").count() == 2
    assert "2 service accounts enabled" in client.post(path, {"act": "enable", **both}).content.decode()


def test_messages_go_out_again_where_one_may(client: Client, everything: World, owner: User, engineer: User) -> None:
    asked = {"act": "resend", "item": f"delivery:{everything.delivery.pk}"}
    path = "/notifications/deliveries/bulk/"
    client.force_login(engineer)
    assert "request.permission_denied" in client.post(path, asked).content.decode(), (
        "a channel of the team is its owners'"
    )
    assert Delivery.objects.count() == 1
    client.force_login(owner)
    assert "1 message put out again" in client.post(path, asked).content.decode()
    again = Delivery.objects.get(replays=everything.delivery)
    waits = {**asked, "item": f"delivery:{again.pk}"}
    assert "It still waits for its next attempt." in client.get(path, waits).content.decode()


def test_templates_are_deleted_and_their_sessions_stay(client: Client, everything: World, engineer: User) -> None:
    client.force_login(engineer)
    asked = {"act": "delete", "item": f"template:{everything.template.pk}"}
    assert "1 template deleted" in client.post("/templates/bulk/", asked).content.decode()
    assert not SessionTemplate.objects.exists()
    assert OptimizationSession.objects.count() == 1


def test_ticked_notifications_are_marked_and_no_others(client: Client, everything: World, owner: User) -> None:
    other = Notification.objects.create(team=everything.team, event=10**12, kind="session.failed", title="other")
    entry = BellEntry.objects.create(notification=other, user=owner)
    BellEntry.objects.exclude(pk__in=[entry.pk, everything.entry.pk]).delete()
    client.force_login(owner)
    client.post("/notifications/read/", {"entry": [entry.pk]})
    assert [one.pk for one in BellEntry.objects.unread()] == [everything.entry.pk]
    client.post("/notifications/read/", {})
    assert BellEntry.objects.unread().count() == 1, "nothing ticked is not all"
    client.post("/notifications/read/", {"entry": [entry.pk, everything.entry.pk], "unread": "1"})
    assert BellEntry.objects.unread().count() == 2
