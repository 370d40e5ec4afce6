"""The way that members take: the portal's address, through name, certificate, proxy and WebSocket, and the login."""

from __future__ import annotations

import base64
import http.client
import secrets
import ssl
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import SplitResult, urlsplit

import requests
from django.conf import settings
from django.urls import reverse

from lathe.doctor.findings import Finding, failed, ok, warning

TIMEOUT_S = 10.0
SOCKET = "/ws/bell/"
AS_SOCKET = (HTTPStatus.SWITCHING_PROTOCOLS, HTTPStatus.FORBIDDEN)
"""What Lathe answers to a WebSocket: without a login, 403. What reaches it as a plain request gets 404."""


def address() -> Iterator[Finding]:
    """Asks for the login page and a WebSocket at LATHE_BASE_URL, as a browser would."""
    base = urlsplit(settings.LATHE.base_url)
    try:
        status, headers = _asked(base, reverse(settings.LOGIN_URL))
    except ssl.SSLCertVerificationError as error:
        message = f"{base.geturl()} has a certificate that cannot be trusted: {error.verify_message}."
        yield failed("address", message, "Renew it at the proxy, with all certificates between it and the root.")
        return
    except (OSError, http.client.HTTPException) as error:
        yield failed(
            "address",
            f"{base.geturl()} does not answer from here: {error or type(error).__name__}.",
            "Start web and proxy, and compare LATHE_BASE_URL with the name that members type.",
        )
        return
    yield _judged_page(base, status, headers)
    if status == HTTPStatus.OK:
        yield _websocket(base)


def _asked(base: SplitResult, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str]]:
    """The status and the headers of one request, which follows no redirect."""
    assert base.hostname is not None
    kind = http.client.HTTPSConnection if base.scheme == "https" else http.client.HTTPConnection
    connection = kind(base.hostname, base.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", base.path + path, headers=headers or {})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}
    finally:
        connection.close()


def _judged_page(base: SplitResult, status: int, headers: dict[str, str]) -> Finding:
    shown = base.geturl()
    if status == HTTPStatus.BAD_REQUEST:
        return failed(
            "address",
            f"{shown} answers 400: the portal does not know the name by which the proxy asks for it.",
            "Let the proxy pass the Host header on, or add that name to LATHE_ALLOWED_HOSTS.",
        )
    if status in (HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.FOUND) and base.scheme == "https":
        return failed(
            "address",
            f"{shown} redirects to {headers.get('location', 'elsewhere')} without end: the portal does not see TLS.",
            "Set LATHE_BEHIND_PROXY=1, and let the proxy set X-Forwarded-Proto.",
        )
    if status != HTTPStatus.OK:
        return failed("address", f"{shown} answers {status}.", "See the logs of proxy and web.")
    if base.scheme == "https" and "strict-transport-security" not in headers:
        return warning("address", f"{shown} sends no HSTS.", "Let the proxy pass Strict-Transport-Security on.")
    return ok("address", f"{shown} shows the login page.")


def _websocket(base: SplitResult) -> Finding:
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    origin = f"{base.scheme}://{base.netloc}"
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Origin": origin}
    try:
        status, _ = _asked(base, SOCKET, {**headers, "Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13"})
    except (OSError, http.client.HTTPException) as error:
        status = 0
        problem = str(error) or type(error).__name__
    else:
        problem = f"status {status}"
    if status in AS_SOCKET:
        return ok("websocket", "WebSockets reach the portal, so pages update by themselves.")
    return failed(
        "websocket",
        f"WebSockets do not reach the portal ({problem}), so pages do not update by themselves.",
        "Let the proxy pass the headers Upgrade and Connection on, with HTTP/1.1 (docs/deployment.md, Proxy and TLS).",
    )


def single_sign_on() -> Iterator[Finding]:
    """Reads what the identity provider publishes about itself, as every login through it does."""
    provider = settings.LATHE.single_sign_on
    if provider is None:
        return
    try:
        answer = requests.get(f"{provider.issuer}/.well-known/openid-configuration", timeout=TIMEOUT_S)
        answer.raise_for_status()
        issuer = answer.json()["issuer"]
    except (requests.RequestException, KeyError, TypeError, ValueError) as error:
        message = (
            f"The identity provider at {provider.issuer} does not describe itself: {error or type(error).__name__}."
        )
        yield failed("single_sign_on", message, "Compare LATHE_OIDC_ISSUER with the provider's pages.")
        return
    if issuer.rstrip("/") != provider.issuer:
        message = f"LATHE_OIDC_ISSUER is {provider.issuer}, but the provider there calls itself {issuer}."
        yield failed("single_sign_on", message, f"Set LATHE_OIDC_ISSUER={issuer}.")
        return
    yield ok("single_sign_on", f"{provider.issuer} describes itself; logins come back to {_callback(provider.key)}.")


def _callback(key: str) -> str:
    return settings.LATHE.base_url + reverse("openid_connect_callback", kwargs={"provider_id": key})
