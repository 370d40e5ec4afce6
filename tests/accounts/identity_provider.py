"""An identity provider that speaks OpenID Connect over real HTTP: discovery, code flow with PKCE, user info."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt

CLIENT_ID, CLIENT_SECRET = "lathe", "only-for-tests"
KEY = "k" * 32


@dataclass
class IdentityProvider:
    """What it says about whoever comes, and what it was asked."""

    address: str = ""
    person: dict[str, Any] = field(default_factory=dict)
    refuses_with: str = ""
    """An error that the code flow ends with, such as `access_denied`."""
    calls_itself: str = ""
    """Its issuer, if it is not its address."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    """The authorization requests by the code that answered each."""

    @property
    def configuration(self) -> dict[str, Any]:
        places = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
        endpoints = {f"{name}_endpoint": f"{self.address}/{path}" for name, path in places.items()}
        methods = ["client_secret_post"]
        return {
            "issuer": self.calls_itself or self.address,
            "jwks_uri": f"{self.address}/keys",
            "token_endpoint_auth_methods_supported": methods,
            **endpoints,
        }

    def authorized(self, query: dict[str, str]) -> str:
        """Where the person is sent back to."""
        assert query["client_id"] == CLIENT_ID
        assert set(query["scope"].split()) == {"openid", "profile", "email"}
        if self.refuses_with:
            return f"{query['redirect_uri']}?{urlencode({'error': self.refuses_with, 'state': query['state']})}"
        code = f"code-{len(self.codes)}"
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def token(self, form: dict[str, str]) -> dict[str, Any] | None:
        """The tokens for a code; `None` if the client cannot prove that it is the one that asked."""
        asked = self.codes.pop(form["code"], None)
        if asked is None or (form["client_id"], form["client_secret"]) != (CLIENT_ID, CLIENT_SECRET):
            return None
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != asked["code_challenge"]:
            return None
        now = int(time.time())
        claims = {"iss": self.address, "aud": CLIENT_ID, "iat": now, "exp": now + 60, "sub": self.person["sub"]}
        return {
            "access_token": "access",
            "token_type": "Bearer",
            "expires_in": 60,
            "id_token": jwt.encode(claims, KEY, algorithm="HS256"),
        }


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    provider = IdentityProvider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            match parts.path:
                case "/.well-known/openid-configuration":
                    self._answer(provider.configuration)
                case "/authorize":
                    self.send_response(302)
                    self.send_header("Location", provider.authorized(query))
                    self.end_headers()
                case "/userinfo":
                    self._answer(provider.person)
                case _:
                    self._answer({}, 404)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            tokens = provider.token({name: values[0] for name, values in parse_qs(body).items()})
            self._answer(tokens or {"error": "invalid_grant"}, 200 if tokens else 400)

        def _answer(self, body: dict[str, Any], status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *args: Any) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        provider.address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield provider
        finally:
            server.shutdown()
