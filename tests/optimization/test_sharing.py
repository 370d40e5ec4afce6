"""A public link shows one report to whoever has it, and nothing else, until it expires, is revoked or switched off."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.link_tokens import digest_of
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.optimization import services
from apps.optimization.errors.sharing import ReportLinksOff, ReportLinkUnusable
from apps.optimization.models import OptimizationSession, PipelineSettings, ReportLink
from tests.portal import world
from tests.portal.world import World

pytestmark = pytest.mark.django_db
API = "/api/v1/report-links/"


@pytest.fixture
def everything(team: Any, owner: User, engineer: User, viewer: User) -> World:
    made = world.build(team, owner)
    made.link.delete()
    return made


@pytest.fixture
def stranger_anywhere() -> Client:
    """Somebody without a login."""
    return Client()


def links_page(session: OptimizationSession) -> str:
    return f"/sessions/{session.pk}/links/"


def made(client: Client, session: OptimizationSession, days: int = 7) -> str:
    """The path of a new link, made on its page."""
    answer = client.post(links_page(session), {"days": days})
    assert (answer.status_code, answer["Cache-Control"]) == (
        201,
        "max-age=0, no-cache, no-store, must-revalidate, private",
    )
    found = re.search(r'id="link-text">https?://[^/<]+([^<]+)<', answer.content.decode())
    assert found
    return found[1]


def test_it_names_the_time_zone_of_its_times(
    client: Client, stranger_anywhere: Client, everything: World, engineer: User
) -> None:
    client.force_login(engineer)
    path = made(client, everything.session)
    assert "Times in UTC." in stranger_anywhere.get(path).content.decode()
    german = stranger_anywhere.get(path, headers={"Accept-Language": "de"}).content.decode()
    assert "Zeiten in UTC." in german


def test_a_link_opens_the_report_without_a_login_and_nothing_else(
    client: Client, stranger_anywhere: Client, everything: World, engineer: User
) -> None:
    client.force_login(engineer)
    path = made(client, everything.session)
    answer = stranger_anywhere.get(path)
    html = unescape(answer.content.decode())
    assert 'id="report-verdict"' in html
    assert 'id="report-evidence"' in html
    addresses = set(re.findall(r'[\s"](?:href|action|src)="([^"#][^"]*)"', html))
    assert {one for one in addresses if not one.startswith("/static/")} == {f"{path}report.pdf"}
    assert "<form" not in html
    assert html.count("download") == 1, "the PDF, and no file of the model"
    assert (answer["Cache-Control"], answer["Referrer-Policy"]) == ("no-store", "no-referrer")
    assert "noindex" in answer["X-Robots-Tag"]


def test_it_names_no_member(client: Client, stranger_anywhere: Client, everything: World, engineer: User) -> None:
    client.force_login(engineer)
    path = made(client, everything.session)
    assert "olga@example.org" in client.get(f"/sessions/{everything.session.pk}/report/").content.decode()
    html = stranger_anywhere.get(path).content.decode()
    assert "@example.org" not in html
    assert "a member</span> session.started" in html


def test_only_a_digest_of_256_bits_is_kept(client: Client, everything: World, engineer: User) -> None:
    client.force_login(engineer)
    token = made(client, everything.session).strip("/").rpartition("/")[2]
    assert len(token) == 43
    link = ReportLink.objects.get()
    assert token not in str(ReportLink.objects.values().get())
    assert link.token_digest == digest_of(token)
    assert token not in client.get(links_page(everything.session)).content.decode()


@pytest.mark.parametrize("days", services.LINK_DAYS)
def test_it_expires(client: Client, stranger_anywhere: Client, everything: World, engineer: User, days: int) -> None:
    client.force_login(engineer)
    path = made(client, everything.session, days)
    link = ReportLink.objects.get()
    assert abs(link.expires_at - timezone.now() - timedelta(days=days)) < timedelta(minutes=1)
    ReportLink.objects.update(expires_at=timezone.now())
    answer = stranger_anywhere.get(path)
    assert answer.status_code == 404
    assert ReportLinkUnusable.sentence in answer.content.decode()
    assert "expired" in client.get(links_page(everything.session)).content.decode()


def test_it_is_revoked_once_and_both_acts_are_recorded(
    client: Client, stranger_anywhere: Client, everything: World, engineer: User
) -> None:
    client.force_login(engineer)
    path = made(client, everything.session)
    link = ReportLink.objects.get()
    assert client.post(f"{links_page(everything.session)}{link.pk}/revoke/").status_code == 302
    assert stranger_anywhere.get(path).status_code == 404
    events = AuditEvent.objects.filter(session=everything.session.pk, action__startswith="report.")
    assert [(one.action, one.user_id, one.data["link"]) for one in events.in_order()] == [
        ("report.shared", engineer.pk, link.pk),
        ("report.link_revoked", engineer.pk, link.pk),
    ]
    answer = client.delete(f"{API}{link.pk}/")
    assert (answer.status_code, answer.json()["code"]) == (409, "report.link_revoked")


def test_operators_switch_all_links_off(
    client: Client, stranger_anywhere: Client, everything: World, engineer: User
) -> None:
    client.force_login(engineer)
    path = made(client, everything.session)
    settings = PipelineSettings.current()
    settings.public_links = False
    settings.save()
    assert stranger_anywhere.get(path).status_code == 404
    answer = client.post(links_page(everything.session), {"days": 7})
    assert answer.status_code == 403
    assert ReportLinksOff.sentence in answer.content.decode()
    assert "switched public links off" in client.get(links_page(everything.session)).content.decode()


@pytest.mark.parametrize("token", ["x", "x" * 43, "%00", "..", "a" * 5000])
def test_a_made_up_address_opens_nothing(stranger_anywhere: Client, everything: World, token: str) -> None:
    assert stranger_anywhere.get(f"/shared/{token}/").status_code == 404


def test_without_a_verdict_there_is_nothing_to_share(client: Client, everything: World, engineer: User) -> None:
    OptimizationSession.objects.update(verdict=None, status="running")
    client.force_login(engineer)
    assert client.post(links_page(everything.session), {"days": 7}).status_code == 404
    assert not ReportLink.objects.exists()


def test_other_periods_are_refused(client: Client, everything: World, engineer: User) -> None:
    client.force_login(engineer)
    assert client.post(links_page(everything.session), {"days": 400}).status_code == 422
    body = {"session": str(everything.session.pk), "days": 400}
    assert client.post(API, body, content_type="application/json").status_code == 400


def test_the_api_makes_lists_and_revokes(
    client: Client, stranger_anywhere: Client, everything: World, engineer: User, viewer: User
) -> None:
    client.force_login(engineer)
    body = {"session": str(everything.session.pk), "days": 1}
    answer = client.post(API, body, content_type="application/json")
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    assert stranger_anywhere.get(answer.json()["address"]).status_code == 200
    client.force_login(viewer)
    (row,) = client.get(API, {"session": str(everything.session.pk)}).json()["results"]
    assert (row["state"], row["created_by"]) == ("open", engineer.email)
    assert "address" not in row
    assert client.delete(f"{API}{row['id']}/").status_code == 403
    client.force_login(engineer)
    assert client.delete(f"{API}{row['id']}/").status_code == 204
    assert stranger_anywhere.get(answer.json()["address"]).status_code == 404
