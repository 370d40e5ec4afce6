"""The content security policy: pages load nothing from other hosts and run no inline scripts."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from lathe.middleware import Around

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


class ContentSecurityPolicyMiddleware(Around):
    """Adds the policy to every response that does not have its own."""

    def after(self, request: HttpRequest, response: HttpResponseBase, begun: Any) -> HttpResponseBase:
        response.headers.setdefault("Content-Security-Policy", HEADER)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        return response
