"""Channels of the cast, and a receiver of webhooks with a server of its own."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_network
from typing import Any

import pytest
from django.conf import settings as live_settings
from rest_framework.test import APIClient

from apps.accounts.models import Team, TokenScope, User
from apps.accounts.services import create_token
from apps.audit import trail
from apps.notifications import services
from apps.notifications.models import Channel, Medium

LOOPBACK = "127.0.0.1/32"


class Receiver(HTTPServer):
    """Takes webhooks on this machine, and answers as a test says."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.paths: list[str] = []
        self.status = 204
        self.headers: dict[str, str] = {}
        self.before_answer: Callable[[BaseHTTPRequestHandler], None] = lambda handler: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?x=1"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.paths.append(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.server.before_answer(self)
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def handle(self) -> None:
        """A client that has had enough and goes is no trouble."""
        with suppress(OSError):
            super().handle()

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""


def api(user: User, scope: TokenScope = TokenScope.WRITE) -> APIClient:
    """The API as a client with a token of the user sees it."""
    client = APIClient()
    token = create_token(user, name="tests", scope=scope, days=1)[1]
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def listing(settings: Any) -> Callable[..., None]:
    """Lists networks as an operator does in LATHE_WEBHOOK_NETWORKS."""

    def listed(*networks: str) -> None:
        found = tuple(ip_network(one) for one in networks)
        settings.LATHE = dataclasses.replace(live_settings.LATHE, webhook_networks=found)

    return listed


@pytest.fixture
def webhook(owner: User, team: Team, receiver: Receiver, listing: Callable[..., None]) -> Channel:
    """A webhook of the team, to the receiver on this machine."""
    listing(LOOPBACK)
    return services.add_channel(owner, team, Medium.WEBHOOK, for_team=True, name="build server", address=receiver.url)


@pytest.fixture
def refusal(team: Team, engineer: User) -> Callable[..., None]:
    """Something that members are told of: an upload of the engineer was refused."""

    def happens(by: User = engineer, subject: str = "cats v1") -> None:
        data = {"code": "model.damaged", "path": "/models/1/", "user": by.pk}
        trail.record("upload.refused", team=team, subject=subject, reason="The file is damaged.", data=data)

    return happens
