"""The portal in this process, as the client sees it."""

from __future__ import annotations

import httpx
from django.test import Client

from apps.accounts.models import TokenScope, User
from apps.accounts.services import create_token
from lathe_client import Lathe


def portal_as(user: User) -> Lathe:
    _, token = create_token(user, name="tests", scope=TokenScope.WRITE, days=1)
    return Lathe("http://testserver", token, transport=httpx.MockTransport(_answer))


def _answer(request: httpx.Request) -> httpx.Response:
    sent = {"HTTP_AUTHORIZATION": request.headers["Authorization"]}
    media = request.headers.get("Content-Type", "application/octet-stream")
    made = Client().generic(request.method, request.url.raw_path.decode(), request.content, media, **sent)
    return httpx.Response(made.status_code, headers=dict(made.headers), content=made.content)
