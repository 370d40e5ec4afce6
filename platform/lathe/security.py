"""The content security policy: pages load nothing from other hosts and run no inline scripts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

POLICY = {
    "default-src": "'self'",
    "script-src": "'self'",
    # Netron and htmx set style attributes and insert style elements.
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "connect-src": "'self'",
    "worker-src": "'self' blob:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
    # The version's page shows Netron in a frame.
    "frame-src": "'self'",
    "frame-ancestors": "'self'",
}
HEADER = "; ".join(f"{directive} {sources}" for directive, sources in POLICY.items())
PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


class ContentSecurityPolicyMiddleware:
    """Adds the policy to every response that does not have its own."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._later(request)
        return self._protect(self.get_response(request))

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        return self._protect(await self.get_response(request))

    @staticmethod
    def _protect(response: HttpResponseBase) -> HttpResponseBase:
        response.headers.setdefault("Content-Security-Policy", HEADER)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        return response
