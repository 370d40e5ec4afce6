"""Idempotency keys: a POST that is repeated with the same key is carried out once, and answered alike each time.

A client that lost the answer cannot know whether its request arrived. With `Idempotency-Key` it may simply repeat it
(draft-ietf-httpapi-idempotency-key-header). A key belongs to its user and is kept for a day. Only successes are kept:
what was refused changed nothing, and may be tried again. Of an answer with a secret, only that there was one is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from rest_framework.permissions import BasePermission

from apps.accounts.errors import IdempotencyKeyInvalid, IdempotencyKeyReused, RequestInProgress, SecretNotKept
from apps.accounts.models import KeptAnswer, User
from apps.api import Replayed, SecretResponse

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

HEADER = "Idempotency-Key"
LONGEST_KEY = 255
GIVEN_UP_AFTER = timedelta(minutes=5)
"""A request without an answer for so long has died with its process."""


class OncePerKey(BasePermission):
    """Claims the key of a POST before its view runs. It stands among the permissions because it has to know the user.

    Raises `Replayed` with the answer that was given before, and the errors of a key that cannot be used.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        key = request.headers.get(HEADER)
        if request.method == "POST" and key is not None:
            plain = cast("Any", request._request)
            plain.kept_answer = _claimed(cast("User", request.user), key, _digest(plain))
        return True


def _claimed(user: User, key: str, digest: str) -> KeptAnswer:
    if not 0 < len(key) <= LONGEST_KEY or not key.isprintable():
        raise IdempotencyKeyInvalid(longest=LONGEST_KEY)
    mine, now = KeptAnswer.objects.filter(user=user), timezone.now()
    mine.forget_old()
    mine.filter(key=key, status=None, created_at__lt=now - GIVEN_UP_AFTER).delete()
    try:
        with transaction.atomic():
            return KeptAnswer.objects.create(user=user, key=key, digest=digest)
    except IntegrityError:
        kept = mine.filter(key=key).first()
    if kept is None:  # the other request has failed in this moment
        raise RequestInProgress()
    if kept.digest != digest:
        raise IdempotencyKeyReused()
    if kept.status is None:
        raise RequestInProgress()
    if kept.secret:
        raise SecretNotKept()
    raise Replayed(kept.status, kept.body)


def _digest(request: HttpRequest) -> str:
    """Of what was asked: path and body. Of a form with a file only the length counts, so that it is not read twice."""
    is_json = request.content_type == "application/json"
    body = request.body if is_json else request.headers.get("Content-Length", "").encode()
    return hashlib.sha256(request.get_full_path().encode() + b"\n" + body).hexdigest()


class KeepAnswers:
    """Middleware: keeps the answer of a request that has claimed a key, or gives the key back."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        kept: KeptAnswer | None = getattr(request, "kept_answer", None)
        if kept is None:
            return response
        rows = KeptAnswer.objects.filter(pk=kept.pk)
        if isinstance(response, SecretResponse):
            rows.update(status=response.status_code, secret=True)
        elif 200 <= response.status_code < 300 and not response.streaming:
            rows.update(status=response.status_code, body=json.loads(response.content or b"null"))
        else:
            rows.delete()
        return response
