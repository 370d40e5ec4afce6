"""The secret in the address of a link that opens something without a login, and the digest that is kept of it."""

from __future__ import annotations

import hashlib
import secrets

TOKEN_BYTES = 32
"""So many random bytes cannot be guessed, so a plain hash of them cannot be searched."""


def new_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


def digest_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
