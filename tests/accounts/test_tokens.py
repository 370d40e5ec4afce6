"""Keys of automation."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts import services
from apps.accounts.errors import TokenLifetimeOutOfRange
from apps.accounts.models import ApiToken, Team, TokenScope, User
from apps.audit.models import AuditEvent

pytestmark = pytest.mark.django_db

ME = "/api/v1/me/"


def bearer(text: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client


@pytest.fixture
def read_token(engineer: User) -> str:
    return services.create_token(engineer, name="watcher", scope=TokenScope.READ, days=30)[1]


def test_a_token_speaks_for_its_member(read_token: str, engineer: User) -> None:
    answer = bearer(read_token).get(ME)
    assert answer.json()["email"] == engineer.email
    assert answer.json()["memberships"] == [{"team": "vision", "role": "engineer", "may_upload_code": False}]


def test_only_the_hash_of_a_token_is_kept(read_token: str) -> None:
    assert read_token not in str(ApiToken.objects.values().get())


def test_an_expired_token_opens_nothing(read_token: str) -> None:
    ApiToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    answer = bearer(read_token).get(ME)
    assert answer.status_code == 401
    assert answer.json()["code"] == "request.authentication_failed"


def test_a_revoked_token_opens_nothing(client: Client, read_token: str, engineer: User) -> None:
    client.force_login(engineer)
    client.post(reverse("accounts:token-revoke", args=[ApiToken.objects.get().token_key]))
    assert bearer(read_token).get(ME).status_code == 401


def test_a_token_made_for_reading_does_not_write(read_token: str) -> None:
    answer = bearer(read_token).post("/api/v1/models/", {"name": "x"})
    assert answer.status_code == 403
    assert "write" in answer.json()["detail"]


def test_the_use_of_a_token_is_noted(read_token: str) -> None:
    assert ApiToken.objects.get().last_used_at is None
    bearer(read_token).get(ME)
    assert ApiToken.objects.get().last_used_at is not None


def test_a_tokens_text_is_shown_once(client: Client, engineer: User) -> None:
    client.force_login(engineer)
    page = client.post(reverse("accounts:token-create"), {"name": "nightly", "scope": "write", "days": 7})
    text = page.context["text"]
    assert text in page.content.decode()
    assert bearer(text).get(ME).status_code == 200
    assert text not in client.get(reverse("accounts:tokens")).content.decode()


@pytest.mark.parametrize("days", [0, -1, 366])
def test_a_token_lives_between_a_day_and_a_year(engineer: User, days: int) -> None:
    with pytest.raises(TokenLifetimeOutOfRange, match=str(days)):
        services.create_token(engineer, name="x", scope=TokenScope.READ, days=days)


def test_a_wrong_lifetime_is_told_at_the_field(client: Client, engineer: User) -> None:
    client.force_login(engineer)
    page = client.post(reverse("accounts:token-create"), {"name": "x", "scope": "read", "days": 4000})
    assert page.status_code == 422
    assert b"id_days_error" in page.content
    assert not ApiToken.objects.exists()


def test_somebody_elses_token_cannot_be_revoked(client: Client, read_token: str, owner: User) -> None:
    client.force_login(owner)
    assert client.post(reverse("accounts:token-revoke", args=[ApiToken.objects.get().token_key])).status_code == 404
    assert ApiToken.objects.exists()


def test_the_address_of_the_last_use_is_shown(client: Client, read_token: str, engineer: User) -> None:
    bearer(read_token).get(ME, REMOTE_ADDR="203.0.113.7")
    bearer(read_token).get(ME, REMOTE_ADDR="2001:db8::7")
    client.force_login(engineer)
    assert "from 2001:db8::7" in client.get(reverse("accounts:tokens")).content.decode()


def test_a_new_password_ends_all_tokens(client: Client, read_token: str, engineer: User, password: str) -> None:
    client.force_login(engineer)
    new = {"oldpassword": password, "password1": "another horse battery", "password2": "another horse battery"}
    assert client.post(reverse("account_change_password"), new).status_code == 302
    assert bearer(read_token).get(ME).status_code == 401
    assert AuditEvent.objects.get(action="token.ended").reason == "The password was changed."


def test_another_change_of_an_account_ends_none(read_token: str, engineer: User) -> None:
    engineer.first_name = "Emil"
    engineer.save()
    assert bearer(read_token).get(ME).status_code == 200


def test_a_member_who_leaves_takes_no_token_along(read_token: str, team: Team, engineer: User, owner: User) -> None:
    other = services.create_token(owner, name="stays", scope=TokenScope.READ, days=1)[1]
    services.remove_member(by=owner, member=team.memberships.get(user=engineer))
    assert bearer(read_token).get(ME).status_code == 401
    assert bearer(other).get(ME).status_code == 200
