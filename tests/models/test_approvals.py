"""Protected aliases: one member asks for a move, and another decides."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse

from apps.accounts import service_accounts
from apps.accounts.models import Membership, Role, Team, TokenScope, User
from apps.accounts.services import create_token
from apps.audit.models import AuditEvent
from apps.models import approvals, services
from apps.models.aliases import move_alias, undo_alias_move
from apps.models.approvals import move_or_ask, undo_or_ask
from apps.models.errors import ApprovalNeeded, OwnRequest, PeopleDecide, ReasonMissing, RequestOutdated, RequestSettled
from apps.models.models import Alias, AliasRequest, ModelVersion
from apps.notifications.models import BellEntry
from tests.accounts.test_tokens import bearer

pytestmark = pytest.mark.django_db


@pytest.fixture
def versions(make_version: Callable[..., ModelVersion]) -> list[ModelVersion]:
    return [make_version(size) for size in (2, 3, 4)]


@pytest.fixture
def alias(versions: list[ModelVersion], owner: User) -> Alias:
    """`production`, protected, moved from version 1 to version 2."""
    for version in versions[:2]:
        row = move_alias(version.model, "production", version, owner)
    return approvals.protect(row, owner, protected=True)


@pytest.fixture
def asked(alias: Alias, versions: list[ModelVersion], engineer: User) -> AliasRequest:
    """The engineer's request to move `production` to version 3."""
    request = move_or_ask(alias.model, "production", versions[2], engineer, "4 times faster")
    assert isinstance(request, AliasRequest)
    return request


def told(kind: str) -> list[str]:
    """Who has a notification of this kind in their bell."""
    entries = BellEntry.objects.filter(notification__kind=kind)
    return sorted(entries.values_list("user__email", flat=True))


def number(alias: Alias) -> int:
    return Alias.objects.get(pk=alias.pk).version.number


def test_who_asked_when_and_why_and_who_approved_are_kept(asked: AliasRequest, owner: User, engineer: User) -> None:
    assert number(asked.alias) == 2, "a request moves nothing"
    approvals.approve(asked, owner, "read the report")
    move = asked.alias.moves.first()
    assert (number(asked.alias), move.moved_by, move.approved_by) == (3, engineer, owner)
    events = AuditEvent.objects.filter(action__startswith="alias.").in_order()
    assert [(one.actor, one.action, one.reason) for one in events][-3:] == [
        (engineer.email, "alias.approval_asked", "4 times faster"),
        (owner.email, "alias.request_approved", "read the report"),
        (owner.email, "alias.moved", "4 times faster"),
    ]
    moved = {"model": move.alias.model_id, "alias": "production", "from": 2, "to": 3}
    assert events.last().data == moved | {"asked_by": engineer.email}
    asked.refresh_from_db()
    assert (asked.status, asked.decided_by, asked.decision) == ("approved", owner, "read the report")
    assert asked.decided_at is not None


def test_who_can_decide_is_told_and_then_who_asked(
    alias: Alias, versions: list[ModelVersion], owner: User, engineer: User, viewer: User, stranger: User
) -> None:
    request = move_or_ask(alias.model, "production", versions[2], engineer)
    assert told("approval.asked") == [owner.email]
    approvals.reject(request, owner, "wait for the night images")
    assert told("approval.decided") == [engineer.email]
    decided = BellEntry.objects.get(notification__kind="approval.decided").notification
    assert (decided.text, decided.data["decision"]) == ("wait for the night images", "rejected")
    assert number(alias) == 2


def test_nobody_decides_about_their_own_request(asked: AliasRequest, engineer: User, viewer: User, stranger: User):
    for decide in (approvals.approve, approvals.reject):
        with pytest.raises(OwnRequest):
            decide(asked, engineer, "I am sure")
        for person in (viewer, stranger):
            with pytest.raises(PermissionDenied):
                decide(asked, person, "please")


def test_an_owner_who_asks_needs_a_second_member_too(alias: Alias, versions: list[ModelVersion], owner: User):
    request = move_or_ask(alias.model, "production", versions[2], owner)
    with pytest.raises(OwnRequest):
        approvals.approve(request, owner, "I am the owner")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_a_decision_needs_a_reason(asked: AliasRequest, owner: User, reason: str) -> None:
    with pytest.raises(ReasonMissing):
        approvals.approve(asked, owner, reason)
    asked.refresh_from_db()
    assert (asked.pending, number(asked.alias)) == (True, 2)


def test_no_road_leads_around_the_approval(alias: Alias, versions: list[ModelVersion], owner: User) -> None:
    with pytest.raises(ApprovalNeeded):
        move_alias(alias.model, "production", versions[2], owner)
    with pytest.raises(ApprovalNeeded):
        undo_alias_move(alias, owner)
    assert number(alias) == 2


def test_a_roll_back_needs_approval_as_well(alias: Alias, owner: User, engineer: User) -> None:
    request = undo_or_ask(alias, engineer, "wrong at night")
    assert isinstance(request, AliasRequest)
    assert (request.rolls_back, request.to_number, number(alias)) == (True, 1, 2)
    approvals.approve(request, owner, "agreed")
    assert number(alias) == 1
    assert alias.moves.first().undoes is not None


def test_a_request_is_out_of_date_once_the_alias_moves(
    alias: Alias, versions: list[ModelVersion], asked: AliasRequest, owner: User, engineer: User
) -> None:
    back = undo_or_ask(alias, owner)
    approvals.approve(back, engineer, "first back")
    asked.refresh_from_db()
    assert (asked.status, asked.decision) == ("stale", "production was moved to v1 meanwhile.")
    with pytest.raises(RequestSettled):
        approvals.approve(asked, owner, "too late")
    assert told("approval.decided") == [owner.email], "who has moved it knows; the other was told of the approval"


def test_a_request_is_out_of_date_once_its_version_is_deleted(
    asked: AliasRequest, versions: list[ModelVersion], owner: User, engineer: User
) -> None:
    services.delete_version(versions[2], owner)
    asked.refresh_from_db()
    assert (asked.status, asked.to_number) == ("stale", 3)
    assert told("approval.decided") == [engineer.email]


def test_a_version_that_the_admin_deletes_is_not_moved_to(
    asked: AliasRequest, versions: list[ModelVersion], owner: User
) -> None:
    versions[2].delete()
    with pytest.raises(RequestOutdated, match="version 3 was deleted"):
        approvals.approve(asked, owner, "go")
    asked.refresh_from_db()
    assert (asked.status, number(asked.alias)) == ("stale", 2)


def test_who_asked_is_told_when_the_model_goes(asked: AliasRequest, owner: User, engineer: User) -> None:
    services.delete_model(asked.alias.model, owner)
    assert told("approval.decided") == [engineer.email]


def test_asking_again_is_the_same_request(asked: AliasRequest, versions: list[ModelVersion], engineer: User) -> None:
    assert move_or_ask(asked.alias.model, "production", versions[2], engineer) == asked
    assert move_or_ask(asked.alias.model, "production", versions[1], engineer) == asked.alias, "it points there"


def test_who_asked_withdraws(asked: AliasRequest, engineer: User, viewer: User, owner: User) -> None:
    with pytest.raises(PermissionDenied):
        approvals.withdraw(asked, viewer)
    approvals.withdraw(asked, engineer)
    with pytest.raises(RequestSettled, match="withdrawn"):
        approvals.approve(asked, owner, "too late")


def test_only_owners_protect(alias: Alias, asked: AliasRequest, engineer: User, owner: User) -> None:
    with pytest.raises(PermissionDenied):
        approvals.protect(alias, engineer, protected=False)
    alias = approvals.protect(alias, owner, protected=False)
    asked.refresh_from_db()
    assert (alias.protected, asked.status) == (False, "stale")
    assert AuditEvent.objects.filter(action="alias.unprotected", actor=owner.email).count() == 1


def test_a_service_account_asks_but_neither_it_nor_its_maker_decides(
    alias: Alias, versions: list[ModelVersion], team: Team, owner: User, engineer: User
) -> None:
    robot = service_accounts.create(by=owner, team=team, name="releases", role=Role.ENGINEER)
    _, text = service_accounts.create_token(robot, by=owner, name="t", scope=TokenScope.WRITE, days=1)
    body = {"model": alias.model_id, "name": "production", "version": versions[2].pk}
    answer = bearer(text).post("/api/v1/aliases/", body)
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    asked = AliasRequest.objects.get()
    assert told("approval.asked") == [engineer.email], "not the owner, who made the token"
    refused = bearer(text).post(f"/api/v1/alias-requests/{asked.pk}/approve/", {"reason": "green"})
    assert (refused.status_code, refused.json()["code"]) == (403, PeopleDecide.code)
    with pytest.raises(OwnRequest):
        approvals.approve(asked, owner, "my pipeline is green")
    approvals.approve(asked, engineer, "looks good")
    moved = AuditEvent.objects.get(action="alias.approval_asked")
    assert (moved.actor_kind, moved.actor) == ("agent", "releases (service account)")
    assert number(alias) == 3


# --- the pages -------------------------------------------------------------------------------------------------------


def test_from_the_button_to_the_approval_on_pages(
    client: Client, alias: Alias, versions: list[ModelVersion], owner: User, engineer: User
) -> None:
    client.force_login(engineer)
    move = reverse("models:alias-move", args=[alias.model_id])
    page = client.post(move, {"alias": "production", "version": versions[2].pk, "reason": "faster"}, follow=True)
    asked = AliasRequest.objects.get()
    html = page.content.decode()
    assert "Another member has to approve" in html
    assert f'id="request-{asked.pk}"' in html
    assert "Reason of your decision" not in html, "who asked is offered no decision"
    assert "approval asked" not in client.get("/").content.decode()

    client.force_login(owner)
    assert f'id="approve-{asked.pk}"' in client.get("/").content.decode()
    listing = reverse("models:approval-list")
    assert "Reason of your decision" in client.get(listing).content.decode()
    decide = reverse("models:approval-decide", args=[asked.pk])
    missing = client.post(decide, {"decision": "approve", "reason": "", "next": listing}, follow=True)
    assert "Write the reason of your decision" in missing.content.decode()
    done = client.post(decide, {"decision": "approve", "reason": "fine", "next": listing}, follow=True)
    assert "now points at v3" in done.content.decode()
    assert "Approved" in done.content.decode()
    again = client.post(decide, {"decision": "reject", "reason": "no", "next": "https://evil.example/"}, follow=True)
    assert "no longer waits for a decision" in again.content.decode()
    assert again.redirect_chain[-1][0] == listing
    history = client.get(reverse("models:model-detail", args=[alias.model_id])).content.decode()
    assert "by emil@example.org, approved by olga@example.org" in history


def test_an_owner_protects_on_the_page(client: Client, versions: list[ModelVersion], owner: User) -> None:
    row = move_alias(versions[0].model, "production", versions[0], owner)
    client.force_login(owner)
    address = reverse("models:alias-protect", args=[row.model_id, "production"])
    client.post(address, {"protected": "on"})
    assert Alias.objects.get().protected
    client.post(address)
    assert not Alias.objects.get().protected


def test_the_api_does_the_same(alias: Alias, versions: list[ModelVersion], owner: User, engineer: User) -> None:
    mine, theirs = (
        bearer(create_token(person, name="t", scope=TokenScope.WRITE, days=1)[1]) for person in (engineer, owner)
    )
    asked = mine.post(f"/api/v1/aliases/{alias.pk}/undo/", {"reason": "wrong at night"})
    assert (asked.status_code, asked.json()["rolls_back"], asked.json()["to_number"]) == (202, True, 1)
    request = f"/api/v1/alias-requests/{asked.json()['id']}/"
    own = mine.post(f"{request}approve/", {"reason": "x"})
    assert (own.status_code, own.json()["code"]) == (403, "approval.own_request")
    done = theirs.post(f"{request}approve/", {"reason": "agreed"})
    assert (done.status_code, done.json()["status"], done.json()["decided_by"]) == (200, "approved", owner.email)
    again = theirs.post(f"{request}reject/", {"reason": "no"})
    assert (again.status_code, again.json()["code"]) == (409, "approval.settled")
    row = theirs.get(f"/api/v1/aliases/{alias.pk}/").json()
    assert (row["protected"], row["number"], row["moves"][0]["approved_by"]) == (True, 1, owner.email)
    listed = mine.get("/api/v1/alias-requests/?status=approved&alias=production").json()["results"]
    assert [one["id"] for one in listed] == [asked.json()["id"]]


def test_a_member_who_left_decides_nothing(asked: AliasRequest, owner: User, team: Team) -> None:
    second = User.objects.create_user("otto@example.org")
    member = Membership.objects.create(team=team, user=second, role=Role.ENGINEER)
    member.delete()
    with pytest.raises(PermissionDenied):
        approvals.approve(asked, second, "bye")
