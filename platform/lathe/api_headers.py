"""What the API's answers say beside their bodies: how many requests are left, and whether anything has changed.

Rates are told as in draft-ietf-httpapi-ratelimit-headers: `RateLimit-Policy: "member";q=1200;w=60` and
`RateLimit: "member";r=1187;t=42` (requests left, seconds until more are allowed). Answers to GET have an `ETag`, so a
client that polls sends it in `If-None-Match` and gets 304 without a body while nothing has changed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from rest_framework.throttling import AnonRateThrottle, SimpleRateThrottle, UserRateThrottle

if TYPE_CHECKING:  # The framework's views import the limits.
    from rest_framework.request import Request
    from rest_framework.views import APIView

API = "/api/v1/"


class _Counted(SimpleRateThrottle):
    """A limit that notes on the request what is left of it."""

    name: str

    def allow_request(self, request: Request, view: APIView) -> bool:
        allowed = bool(super().allow_request(request, view))
        if getattr(self, "key", None) is not None:
            counted: Any = self
            oldest = counted.history[-1] if counted.history else counted.now
            left = max(0, counted.num_requests - len(counted.history))
            renewed_s = math.ceil(max(0.0, counted.duration - (counted.now - oldest)))
            cast("Any", request._request).rate_limit = {
                "RateLimit-Policy": f'"{self.name}";q={counted.num_requests};w={counted.duration}',
                "RateLimit": f'"{self.name}";r={left};t={renewed_s}',
            }
        return allowed


class AnonymousLimit(_Counted, AnonRateThrottle):
    name = "anonymous"


class MemberLimit(_Counted, UserRateThrottle):
    name = "member"


class ApiHeaders:
    """Middleware: adds both to the answers of the API."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not request.path.startswith(API):
            return response
        for name, value in getattr(request, "rate_limit", {}).items():
            response[name] = value
        return _unless_known(request, response)


def _unless_known(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """The answer with its tag, or 304 if the client has the same already."""
    kept = "no-store" not in response.get("Cache-Control", "") and not response.has_header("ETag")
    if request.method != "GET" or response.status_code != 200 or response.streaming or not kept:
        return response
    response["ETag"] = quote_etag(hashlib.sha256(response.content).hexdigest()[:32])
    response.setdefault("Cache-Control", "private, no-cache")
    same = get_conditional_response(request, etag=response["ETag"], response=response)
    if same is not None and same.status_code == 304:
        for name, value in getattr(request, "rate_limit", {}).items():
            same[name] = value
    return same if same is not None else response
