"""The browsers' sessions: Django's, in the database, asked only for keys that Django can have made."""

from __future__ import annotations

from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import VALID_KEY_CHARS


class SessionStore(db.SessionStore):
    """A cookie may hold anything; a NUL in it, for one, is refused by PostgreSQL with an error."""

    def _validate_session_key(self, key: str) -> bool:
        sound: bool = super()._validate_session_key(key)  # type: ignore[misc]  # its stubs leave it out
        return sound and set(key) <= set(VALID_KEY_CHARS)
