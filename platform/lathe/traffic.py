"""HTTP requests and WebSocket connections, counted by the web processes themselves.

Labels are names of routes and never addresses: their number is bounded, and no id of a row gets into the metrics.
"""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from lathe.middleware import Around

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)

REGISTRY = CollectorRegistry()
REQUESTS = Counter(
    "lathe_http_requests", "HTTP requests that were answered.", ["route", "method", "status"], registry=REGISTRY
)
DURATIONS = Histogram(
    "lathe_http_request_duration_seconds",
    "Seconds from a request to the start of its answer.",
    ["route", "method"],
    buckets=SECONDS,
    registry=REGISTRY,
)
SOCKETS = Gauge(
    "lathe_websocket_connections",
    "WebSockets that are open.",
    ["page"],
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
SOCKETS_OPENED = Counter("lathe_websockets_opened", "WebSockets that were opened.", ["page"], registry=REGISTRY)


def route_of(request: HttpRequest) -> str:
    """The name of the request's route: `api:session-list`, `admin`, `static`, or `unmatched`."""
    match = request.resolver_match
    if match is None:
        return "static" if request.path_info.startswith(settings.STATIC_URL) else "unmatched"
    return "admin" if "admin" in match.namespaces else match.view_name or "unnamed"


class CountRequests(Around):
    """Middleware: counts each answer, and its duration until the answer begins."""

    def before(self, request: HttpRequest) -> float:
        return time.perf_counter()

    def after(self, request: HttpRequest, response: HttpResponseBase, begun: float) -> HttpResponseBase:
        route = route_of(request)
        method = request.method if request.method in METHODS else "other"
        REQUESTS.labels(route, method, str(response.status_code)).inc()
        DURATIONS.labels(route, method).observe(time.perf_counter() - begun)
        return response


class CountSockets:
    """ASGI application: counts the sockets of one kind of page that `inner` accepts."""

    def __init__(self, inner: Any, page: str) -> None:
        self.inner = inner
        self.page = page

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        is_open = False

        async def counting(message: dict[str, Any]) -> None:
            nonlocal is_open
            await send(message)
            if message["type"] == "websocket.accept" and not is_open:
                is_open = True
                SOCKETS.labels(self.page).inc()
                SOCKETS_OPENED.labels(self.page).inc()

        try:
            await self.inner(scope, receive, counting)
        finally:
            if is_open:
                SOCKETS.labels(self.page).dec()
