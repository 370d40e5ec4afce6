"""Times are shown in the member's zone: on pages, in the admin, in mail."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from apps.accounts import services
from apps.accounts.errors import TimeZoneUnknown
from apps.accounts.models import ApiToken, Membership, Role, Team, TokenScope, User
from apps.zones import COOKIE, zone_of

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
PAGE = reverse("accounts:time-zone")


@pytest.fixture
def token(owner: User) -> ApiToken:
    row, _ = services.create_token(owner, name="nightly", scope=TokenScope.READ, days=30)
    ApiToken.objects.filter(pk=row.pk).update(last_used_at=NOON)
    return row


def used(client: Client) -> str:
    return client.get(reverse("accounts:tokens")).content.decode()


def test_the_zone_of_the_browser_is_learned_once(client: Client, owner: User, token: ApiToken) -> None:
    client.force_login(owner)
    assert "1 Jul 2026 12:00" in used(client)
    client.cookies[COOKIE] = quote("Asia/Tokyo", safe="")
    page = used(client)
    assert "1 Jul 2026 21:00" in page
    assert "Times in Asia/Tokyo" in page
    client.cookies[COOKIE] = "Europe/Berlin"
    assert "1 Jul 2026 21:00" in used(client), "a journey does not move what was measured at home"
    owner.refresh_from_db()
    assert owner.time_zone == "Asia/Tokyo"


@pytest.mark.parametrize("told", ["Mars/Base", "../../etc/passwd", "", "%00", "Etc/GMT+5"])
def test_what_is_no_zone_is_not_learned(client: Client, owner: User, token: ApiToken, told: str) -> None:
    client.force_login(owner)
    client.cookies[COOKIE] = told
    assert "1 Jul 2026 12:00" in used(client)
    owner.refresh_from_db()
    assert owner.time_zone == ""


def test_another_zone_is_chosen_on_its_page(client: Client, owner: User, token: ApiToken) -> None:
    client.force_login(owner)
    done = client.post(PAGE, {"time_zone": "America/New_York"}, follow=True)
    assert "Times are shown in America/New_York." in done.content.decode()
    assert "1 Jul 2026 08:00" in used(client)
    refused = client.post(PAGE, {"time_zone": "New York"})
    assert refused.status_code == 422
    assert TimeZoneUnknown(zone="New York").message in refused.content.decode()
    owner.refresh_from_db()
    assert owner.time_zone == "America/New_York"


def test_and_over_the_api(owner: User) -> None:
    client = APIClient()
    _, text = services.create_token(owner, name="home", scope=TokenScope.WRITE, days=1)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    assert client.patch("/api/v1/me/", {"time_zone": "Asia/Tokyo"}, format="json").json()["time_zone"] == "Asia/Tokyo"
    assert client.get("/api/v1/me/").json()["time_zone"] == "Asia/Tokyo"
    refused = client.patch("/api/v1/me/", {"time_zone": "Tokyo"}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (422, TimeZoneUnknown.code)


def test_the_admin_shows_it_too(client: Client, owner: User) -> None:
    User.objects.filter(pk=owner.pk).update(is_staff=True, is_superuser=True, time_zone="Asia/Tokyo")
    Team.objects.update(created_at=NOON)
    client.force_login(User.objects.get(pk=owner.pk))
    page = client.get(reverse("admin:accounts_team_changelist")).content.decode()
    assert "9 p.m." in page
    assert "Times in Asia/Tokyo" in page


def test_one_member_s_zone_is_not_the_next_one_s(client: Client, owner: User, token: ApiToken, team: Team) -> None:
    User.objects.filter(pk=owner.pk).update(time_zone="Asia/Tokyo")
    client.force_login(User.objects.get(pk=owner.pk))
    assert "21:00" in used(client)
    other = User.objects.create_user("other@example.org", "correct horse battery")
    Membership.objects.create(team=team, user=other, role=Role.ENGINEER)
    row, _ = services.create_token(other, name="theirs", scope=TokenScope.READ, days=30)
    ApiToken.objects.filter(pk=row.pk).update(last_used_at=NOON)
    client.force_login(other)
    assert "1 Jul 2026 12:00" in used(client)
    assert str(zone_of(None)) == "UTC"


def test_an_invitation_says_until_when_in_the_zone_of_who_invites(
    owner: User, team: Team, django_capture_on_commit_callbacks: Any
) -> None:
    owner.time_zone = "Asia/Tokyo"
    with django_capture_on_commit_callbacks(execute=True):
        services.invite(by=owner, team=team, email="new@example.org", role=Role.VIEWER)
    assert " JST:" in mail.outbox[0].body
