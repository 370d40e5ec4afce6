"""Logging in, getting back in, and the second factor."""

from __future__ import annotations

import re

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret, hotp_value, yield_hotp_counters_from_time
from django.core import mail
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User

pytestmark = pytest.mark.django_db


def test_an_anonymous_visitor_logs_in_and_comes_back(client: Client, engineer: User, password: str) -> None:
    wanted = reverse("accounts:tokens")
    to_login = client.get(wanted)
    assert to_login.url == f"{reverse('account_login')}?next={wanted}"
    response = client.post(to_login.url, {"login": engineer.email, "password": password})
    assert response.url == wanted


def test_a_wrong_password_is_refused_with_a_sentence(client: Client, engineer: User) -> None:
    response = client.post(reverse("account_login"), {"login": engineer.email, "password": "wrong"})
    assert response.status_code == 200
    assert b"notice-bad" in response.content


def test_nobody_signs_up_by_themselves(client: Client) -> None:
    page = client.get(reverse("account_signup"))
    assert b"By invitation only" in page.content
    client.post(reverse("account_signup"), {"email": "x@example.org", "password1": "pw" * 8, "password2": "pw" * 8})
    assert not User.objects.exists()


def test_a_forgotten_password_is_reset_by_mail(client: Client, engineer: User) -> None:
    client.post(reverse("account_reset_password"), {"email": engineer.email})
    link = re.search(r"https?://[^/]+(/accounts/password/reset/key/\S+)", mail.outbox[-1].body)
    assert link
    form = client.get(link[1], follow=True)
    client.post(form.redirect_chain[-1][0], {"password1": "brand new words", "password2": "brand new words"})
    engineer.refresh_from_db()
    assert engineer.check_password("brand new words")


def test_a_second_factor_is_asked_for_once_activated(client: Client, engineer: User, password: str) -> None:
    secret = generate_totp_secret()
    TOTP.activate(engineer, secret)
    response = client.post(reverse("account_login"), {"login": engineer.email, "password": password})
    assert response.url == reverse("mfa_authenticate")
    assert client.get(reverse("accounts:tokens")).status_code == 302, "the password alone does not open anything"
    code = f"{hotp_value(secret, next(iter(yield_hotp_counters_from_time()))):06d}"
    assert client.post(reverse("mfa_authenticate"), {"code": code}).status_code == 302
    assert client.get(reverse("accounts:tokens")).status_code == 200


@pytest.mark.parametrize("name", ["mfa_index", "account_change_password"])
def test_ones_own_account_is_managed_in_the_portals_frame(client: Client, viewer: User, name: str) -> None:
    client.force_login(viewer)
    page = client.get(reverse(name), follow=True)
    assert page.status_code == 200
    assert b'class="nav"' in page.content or b"Reauthenticate" in page.content or b"Confirm" in page.content


def test_the_admin_has_the_same_door(client: Client, engineer: User) -> None:
    assert reverse("account_login") in client.get(reverse("admin:index"), follow=True).redirect_chain[-1][0]
    client.force_login(engineer)
    assert client.get(reverse("admin:index"), follow=True).status_code == 403, "a member is no operator"


def test_nobody_takes_another_address_by_themselves(client: Client, engineer: User) -> None:
    before = engineer.email
    client.force_login(engineer)
    for action in ("action_add", "action_primary"):
        response = client.post(reverse("account_email"), {"email": "chief@example.org", action: ""})
        assert response.status_code == 403
    engineer.refresh_from_db()
    assert engineer.email == before
    assert not engineer.emailaddress_set.exists()
