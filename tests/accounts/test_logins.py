"""The browsers in which people are logged in."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts import services
from apps.accounts.logins import device_of, logins_of
from apps.accounts.models import Login, TokenScope, User
from apps.audit.models import AuditEvent
from tests.accounts.test_tokens import bearer

pytestmark = pytest.mark.django_db

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Mobile Safari/604.1"
PAGE = "/account/logins/"


def browser(user: User, password: str, agent: str, address: str) -> Client:
    """Somebody's browser, logged in through the form."""
    client = Client(headers={"user-agent": agent}, REMOTE_ADDR=address)
    answer = client.post(reverse("account_login"), {"login": user.email, "password": password})
    assert answer.status_code == 302
    return client


@pytest.fixture
def at_work(engineer: User, password: str) -> Client:
    return browser(engineer, password, FIREFOX, "203.0.113.7")


@pytest.fixture
def on_the_way(engineer: User, password: str) -> Client:
    return browser(engineer, password, SAFARI, "2001:db8::9")


def test_one_sees_where_one_is_logged_in(at_work: Client, on_the_way: Client) -> None:
    html = at_work.get(PAGE).content.decode()
    for told in ("Firefox on Linux", "203.0.113.7", "Safari on iPhone", "2001:db8::9"):
        assert told in html
    assert html.count("this one") == 1


def test_a_login_that_one_ends_is_logged_out(at_work: Client, on_the_way: Client, engineer: User) -> None:
    phone = Login.objects.get(device="Safari on iPhone")
    at_work.post(reverse("accounts:login-end", args=[phone.pk]))
    assert on_the_way.get("/").url.startswith(reverse("account_login"))
    assert at_work.get("/").status_code == 200
    ended = AuditEvent.objects.get(action="login.ended")
    assert (ended.actor, ended.data) == (engineer.email, {"device": "Safari on iPhone", "address": "2001:db8::9"})


def test_all_others_end_at_once(at_work: Client, on_the_way: Client, engineer: User) -> None:
    at_work.post(reverse("accounts:logins-end-others"))
    assert [one.device for one in logins_of(engineer)] == ["Firefox on Linux"]
    assert on_the_way.get("/").status_code == 302


def test_somebody_elses_login_is_not_there(at_work: Client, owner: User, password: str) -> None:
    other = browser(owner, password, SAFARI, "203.0.113.9")
    login = Login.objects.get(user=owner)
    assert at_work.post(reverse("accounts:login-end", args=[login.pk])).status_code == 404
    assert other.get("/").status_code == 200


def test_the_last_use_is_noted_to_the_minute(at_work: Client, engineer: User) -> None:
    Login.objects.update(seen_at=timezone.now() - timedelta(hours=2))
    at_work.get("/")
    assert Login.objects.get().seen_at < timezone.now() - timedelta(hours=1), "within a minute it is not noted again"
    cache.clear()
    at_work.get("/", REMOTE_ADDR="203.0.113.8")
    noted = Login.objects.get()
    assert noted.seen_at > timezone.now() - timedelta(minutes=1)
    assert noted.address == "203.0.113.8"


def test_a_logout_and_an_expired_session_leave_nothing(at_work: Client, on_the_way: Client, engineer: User) -> None:
    at_work.post(reverse("account_logout"))
    assert [one.device for one in logins_of(engineer)] == ["Safari on iPhone"]
    one = Login.objects.get()
    one.session.expire_date = timezone.now() - timedelta(seconds=1)
    one.session.save()
    assert not logins_of(engineer).exists()


def test_the_api_lists_and_ends_them(at_work: Client, on_the_way: Client, engineer: User) -> None:
    mine = bearer(services.create_token(engineer, name="t", scope=TokenScope.WRITE, days=1)[1])
    rows = mine.get("/api/v1/logins/").json()["results"]
    assert sorted(row["device"] for row in rows) == ["Firefox on Linux", "Safari on iPhone"]
    phone = next(row for row in rows if "iPhone" in row["device"])
    assert mine.delete(f"/api/v1/logins/{phone['id']}/").status_code == 204
    assert on_the_way.get("/").status_code == 302
    assert mine.post("/api/v1/logins/end-others/").status_code == 204
    assert at_work.get("/").status_code == 302


def test_an_operator_ends_a_members_login(at_work: Client, admin_client: Client, engineer: User) -> None:
    login = logins_of(engineer).get()
    listing = admin_client.get(reverse("admin:accounts_login_changelist"))
    assert "Firefox on Linux" in listing.content.decode()
    admin_client.post(reverse("admin:accounts_login_delete", args=[login.pk]), {"post": "yes"})
    assert at_work.get("/").status_code == 302
    assert AuditEvent.objects.get(action="login.ended").subject == engineer.email


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        (FIREFOX, "Firefox on Linux"),
        (SAFARI, "Safari on iPhone"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/126.0 Safari/537.36 Edg/126.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 14) Chrome/126.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5)", "A browser on macOS"),
        ("curl/8.5.0", "An unknown device"),
        ("", "An unknown device"),
    ],
)
def test_a_device_in_words(agent: str, device: str) -> None:
    assert device_of(agent) == device
