"""Service accounts: of a team, by tokens alone, whoever comes and goes."""

from __future__ import annotations

import pytest
from django.core import mail
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse

from apps.accounts import service_accounts, services
from apps.accounts.errors import (
    ServiceAccountDisabled,
    ServiceAccountNameMissing,
    ServiceAccountNameTaken,
    ServiceAccountRole,
)
from apps.accounts.models import ApiToken, Membership, Role, Team, TokenScope, User
from apps.audit.models import AuditEvent
from apps.notifications.models import Channel
from tests.accounts.test_tokens import ME, bearer

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(team: Team, owner: User) -> Membership:
    return service_accounts.create(by=owner, team=team, name="release pipeline", role=Role.ENGINEER)


@pytest.fixture
def text(account: Membership, owner: User) -> str:
    made = {"name": "runner", "scope": TokenScope.WRITE, "days": 30}
    return service_accounts.create_token(account, by=owner, **made)[1]


def test_it_acts_with_its_role_and_is_an_agent_in_the_trail(text: str, team: Team) -> None:
    me = bearer(text).get(ME).json()
    assert me["memberships"] == [{"team": team.slug, "role": "engineer", "may_upload_code": False}]
    assert bearer(text).post("/api/v1/models/", {"name": "net"}).status_code == 201
    event = AuditEvent.objects.get(action="model.registered")
    assert (event.actor_kind, event.actor) == ("agent", "release pipeline (service account)")


def test_its_role_binds_it(account: Membership, text: str, owner: User) -> None:
    service_accounts.change(account, by=owner, role=Role.VIEWER)
    assert bearer(text).post("/api/v1/models/", {"name": "net"}).status_code == 403
    with pytest.raises(ServiceAccountRole):
        service_accounts.change(account, by=owner, role=Role.OWNER)


def test_it_stays_when_the_one_who_made_it_leaves(text: str, team: Team, owner: User, engineer: User) -> None:
    services.change_role(by=owner, member=team.memberships.get(user=engineer), role=Role.OWNER)
    services.remove_member(by=owner, member=team.memberships.get(user=owner))
    assert bearer(text).get(ME).status_code == 200
    owner.delete()
    assert bearer(text).get(ME).status_code == 200


def test_disabling_ends_its_tokens_for_good(account: Membership, text: str, owner: User) -> None:
    service_accounts.change(account, by=owner, disabled=True)
    with pytest.raises(ServiceAccountDisabled):
        service_accounts.create_token(account, by=owner, name="x", scope=TokenScope.READ, days=1)
    service_accounts.change(account, by=owner, disabled=False)
    assert bearer(text).get(ME).status_code == 401
    assert AuditEvent.objects.get(action="token.ended").reason == "The service account was disabled."


def test_it_cannot_log_in_even_with_a_password(client: Client, account: Membership, password: str) -> None:
    user = account.user
    assert not user.has_usable_password()
    user.set_password(password)
    user.save()
    assert not client.login(email=user.email, password=password)
    page = client.post(reverse("account_login"), {"login": user.email, "password": password})
    assert (page.url, "_auth_user_id" in client.session) == (reverse("account_inactive"), False)
    client.force_login(user)
    assert client.get("/").url.startswith(reverse("account_login")), "a session of an earlier day opens nothing either"
    client.post(reverse("account_reset_password"), {"email": user.email})
    assert mail.outbox == []


def test_it_gets_no_mail_and_has_no_bell(text: str, team: Team, owner: User) -> None:
    bearer(text).get("/api/v1/notification-channels/")
    assert not Channel.objects.filter(user__service_of=team).exists()


def test_it_is_no_member_among_people(client: Client, account: Membership, owner: User, team: Team) -> None:
    client.force_login(owner)
    assert account.user.email not in client.get(reverse("accounts:team")).content.decode()
    assert client.post(reverse("accounts:member-remove", args=[account.pk])).status_code == 404
    token = services.create_token(owner, name="t", scope=TokenScope.WRITE, days=1)[1]
    assert bearer(token).delete(f"/api/v1/members/{account.pk}/").status_code == 404
    assert [one["email"] for one in bearer(token).get("/api/v1/members/").json()["results"]] == [owner.email]
    assert [one["email"] for one in bearer(token).get(f"/api/v1/teams/{team.slug}/").json()["members"]] == [owner.email]


def test_only_owners_manage_it(account: Membership, team: Team, engineer: User, stranger: User) -> None:
    for person in (engineer, stranger):
        with pytest.raises(PermissionDenied):
            service_accounts.create(by=person, team=team, name="mine", role=Role.VIEWER)
        with pytest.raises(PermissionDenied):
            service_accounts.change(account, by=person, disabled=True)
        with pytest.raises(PermissionDenied):
            service_accounts.create_token(account, by=person, name="x", scope=TokenScope.READ, days=1)


def test_names_are_unique_in_a_team(account: Membership, team: Team, owner: User, other_team: Team, stranger: User):
    for name in ("release pipeline", " release  pipeline ", "Release-Pipeline"):
        with pytest.raises(ServiceAccountNameTaken):
            service_accounts.create(by=owner, team=team, name=name, role=Role.VIEWER)
    service_accounts.create(by=stranger, team=other_team, name="release pipeline", role=Role.VIEWER)
    service_accounts.create(by=owner, team=team, name="発行", role=Role.VIEWER)


def test_from_the_page_to_a_token_and_its_end(client: Client, owner: User, viewer: User) -> None:
    client.force_login(owner)
    made = client.post(reverse("accounts:service-account-create"), {"name": "nightly", "role": "viewer"})
    account = Membership.objects.get(user__service_of__isnull=False)
    assert made.url == reverse("accounts:service-account", args=[account.pk])
    create = reverse("accounts:service-token-create", args=[account.pk])
    page = client.post(create, {"name": "runner", "scope": "read", "days": 7})
    text = page.context["text"]
    assert text in page.content.decode()
    assert bearer(text).get(ME, REMOTE_ADDR="203.0.113.7").status_code == 200
    shown = client.get(made.url).content.decode()
    assert (text in shown, "from 203.0.113.7" in shown, owner.email in shown) == (False, True, True)
    token = ApiToken.objects.get()
    client.post(reverse("accounts:service-token-revoke", args=[account.pk, token.token_key]))
    assert bearer(text).get(ME).status_code == 401
    client.post(reverse("accounts:service-account-change", args=[account.pk]), {"disabled": "true"})
    assert not User.objects.get(pk=account.user_id).is_active
    taken = client.post(reverse("accounts:service-account-create"), {"name": "nightly", "role": "viewer"})
    assert (taken.status_code, b"id_name_error" in taken.content) == (409, True)
    client.force_login(viewer)
    assert "nightly" in client.get(reverse("accounts:service-accounts")).content.decode()
    assert "Create a token" not in client.get(made.url).content.decode()


def test_the_api_does_the_same(owner: User, team: Team) -> None:
    mine = bearer(services.create_token(owner, name="t", scope=TokenScope.WRITE, days=1)[1])
    path = "/api/v1/service-accounts/"
    made = mine.post(path, {"name": "nightly", "role": "engineer"})
    assert (made.status_code, made.json()["disabled"]) == (201, False)
    one = f"{path}{made.json()['id']}/"
    token = mine.post(f"{one}tokens/", {"name": "runner", "scope": "write", "days": 30})
    assert (token.status_code, token.json()["team"], token["Cache-Control"]) == (201, team.slug, "no-store")
    assert bearer(token.json()["text"]).get(ME).status_code == 200
    rows = mine.get(f"{one}tokens/").json()["results"]
    assert [(row["key"], row["created_by"], "text" in row) for row in rows] == [
        (token.json()["key"], owner.email, False)
    ]
    assert rows[0]["last_used_at"] is not None
    assert mine.delete(f"{one}tokens/{token.json()['key']}/").status_code == 204
    assert mine.patch(one, {"disabled": True}).json()["disabled"] is True
    assert mine.post(path, {"name": "nightly", "role": "engineer"}).json()["code"] == "account.service_name_taken"
    assert mine.post(path, {"name": "boss", "role": "owner"}).json()["code"] == "request.invalid"


@pytest.mark.parametrize("name", ["", "  ", "x" * 200])
def test_an_account_without_a_name_is_refused(team: Team, owner: User, name: str) -> None:
    with pytest.raises(ServiceAccountNameMissing):
        service_accounts.create(by=owner, team=team, name=name, role=Role.VIEWER)
    assert not service_accounts.service_accounts_of(team)
