"""Each client has its own address behind the proxies that are trusted, and nobody chooses one."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from lathe.env import Environment, WrongVariable
from lathe.proxies import client as client_of

PROXY = "172.29.143.1"


def trust(settings: Any, *networks: str, **changes: Any) -> None:
    proxies = Environment.read({"LATHE_TRUSTED_PROXIES": ",".join(networks)}).trusted_proxies
    settings.LATHE = replace(settings.LATHE, trusted_proxies=proxies, **changes)


@pytest.mark.parametrize(
    ("peer", "chain", "found"),
    [
        (PROXY, "203.0.113.7", "203.0.113.7"),
        (PROXY, "6.6.6.6, 203.0.113.7", "203.0.113.7"),
        (PROXY, "6.6.6.6, 203.0.113.7, 10.0.7.9", "203.0.113.7"),
        (PROXY, "", PROXY),
        (PROXY, "unknown", PROXY),
        (PROXY, "6.6.6.6, rubbish, 10.0.7.9", "10.0.7.9"),
        (PROXY, "203.0.113.7:4711", "203.0.113.7"),
        (PROXY, "[2001:db8::7]:4711", "2001:db8::7"),
        (PROXY, "2001:db8::7", "2001:db8::7"),
        (PROXY, "::ffff:203.0.113.7", "203.0.113.7"),
        (PROXY, "10.0.7.8, 10.0.7.9", "10.0.7.8"),
        ("203.0.113.9", "203.0.113.7", "203.0.113.9"),
    ],
)
def test_the_client_is_the_nearest_that_is_no_proxy(peer: str, chain: str, found: str) -> None:
    trusted = [ipaddress.ip_network(PROXY), ipaddress.ip_network("10.0.7.0/24")]
    assert str(client_of(ipaddress.ip_address(peer), chain.split(","), trusted)) == found


@pytest.mark.parametrize("wrong", ["localhost", "10.0.0.1/8", "1", "10.0.0.0/33", "*"])
def test_a_wrong_list_of_proxies_stops_the_start(wrong: str) -> None:
    with pytest.raises(WrongVariable, match="LATHE_TRUSTED_PROXIES"):
        Environment.read({"LATHE_TRUSTED_PROXIES": wrong})


def wrong_logins(client: Client, email: str, times: int, peer: str, forwarded: str | None = None) -> list[int]:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    return [
        client.post(
            reverse("account_login"),
            {"login": f"{number}-{email}", "password": "wrong"},
            headers=headers,
            REMOTE_ADDR=peer,
        ).status_code
        for number in range(times)
    ]


@pytest.mark.django_db
def test_wrong_passwords_of_one_lock_nobody_else_out(client: Client, engineer: User, password: str, settings: Any):
    trust(settings, PROXY)
    assert 429 in wrong_logins(client, engineer.email, 35, PROXY, "203.0.113.66")
    answer = client.post(
        reverse("account_login"),
        {"login": engineer.email, "password": password},
        headers={"X-Forwarded-For": "203.0.113.7"},
        REMOTE_ADDR=PROXY,
    )
    assert answer.status_code == 302


@pytest.mark.django_db
@pytest.mark.parametrize("trusted", [(), (PROXY,)])
def test_a_forged_header_is_no_way_round_a_limit(client: Client, trusted: tuple[str, ...], settings: Any) -> None:
    """Neither of somebody who comes past the proxy, nor of somebody whose claim the proxy passes on."""
    trust(settings, *trusted)
    last = [
        client.get(
            "/api/schema/", headers={"X-Forwarded-For": f"198.51.100.{number}"}, REMOTE_ADDR="203.0.113.66"
        ).status_code
        for number in range(61)
    ][-1]
    assert last == 429
    if trusted:
        claim = {"X-Forwarded-For": "198.51.100.77, 203.0.113.66"}
        assert client.get("/api/schema/", headers=claim, REMOTE_ADDR=PROXY).status_code == 429
        honest = {"X-Forwarded-For": "203.0.113.7"}
        assert client.get("/api/schema/", headers=honest, REMOTE_ADDR=PROXY).status_code == 200


@pytest.mark.django_db
def test_only_a_trusted_proxy_says_that_tls_was_spoken(client: Client, settings: Any) -> None:
    trust(settings, PROXY)
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_SSL_REDIRECT = True
    claim = {"X-Forwarded-Proto": "https"}
    assert client.get(reverse("account_login"), headers=claim, REMOTE_ADDR=PROXY).status_code == 200
    assert client.get(reverse("account_login"), headers=claim, REMOTE_ADDR="203.0.113.66").status_code == 301


@pytest.mark.django_db
def test_wrong_passwords_count_for_the_account_whatever_the_host_is_called(client: Client, engineer: User) -> None:
    hosts = ("localhost", "LocalHost", "LOCALHOST", "127.0.0.1", "testserver", "TestServer", "TESTserver")
    for number, host in enumerate(hosts):
        page = client.post(
            reverse("account_login"),
            {"login": engineer.email, "password": "wrong"},
            headers={"Host": host},
            REMOTE_ADDR=f"203.0.113.{number}",
        )
    assert b"Too many failed login attempts" in page.content


# --- links -----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("known", [True, False])
def test_links_in_mails_begin_with_the_portals_own_address(
    client: Client, engineer: User, settings: Any, known: bool
) -> None:
    settings.LATHE = replace(settings.LATHE, base_url="https://lathe.example.org")
    settings.ALLOWED_HOSTS = ["*"]
    email = engineer.email if known else "nobody@example.org"
    headers = {"Host": "evil.example.com", "X-Forwarded-Host": "evil.example.com"}
    client.post(reverse("account_reset_password"), {"email": email}, headers=headers)
    message = mail.outbox[-1]
    assert "evil" not in f"{message.subject} {message.body} {message.alternatives}"
    links = re.findall(r"https?://\S+", message.body)
    assert links or not known
    assert all(link.startswith("https://lathe.example.org/accounts/") for link in links)
