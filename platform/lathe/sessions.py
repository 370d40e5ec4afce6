"""Browser sessions: Django's database sessions, looked up only by keys that Django can have created."""

from __future__ import annotations

from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import VALID_KEY_CHARS


class SessionStore(db.SessionStore):
    """Checks the key, because a cookie can contain anything. PostgreSQL, for example, raises an error for a NUL."""

    def _validate_session_key(self, key: str) -> bool:
        sound: bool = super()._validate_session_key(key)  # type: ignore[misc]  # its stubs leave it out
        return sound and set(key) <= set(VALID_KEY_CHARS)
