"""What can go wrong: a refusal by the portal, and everything that keeps a command from its end."""

from __future__ import annotations

from typing import Any


class LatheError(Exception):
    """The command cannot do what was asked. The message says why, and what to do."""


def sentence_about(error: BaseException) -> str:
    """What went wrong, for somebody who reads no program."""
    if isinstance(error, LatheError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "The command was interrupted."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."
    message = f"{type(error).__name__}: {error}".rstrip(": ")
    return f"This is a fault of the command, so it says nothing about your files: {message}."


class Problem(LatheError):
    """A refusal by the portal (RFC 9457). `code` never changes; docs/errors.md of Lathe lists all codes."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status = status
        self.code = str(body.get("code", "request.error"))
        self.detail = str(body.get("detail", f"The portal answered with {status}."))
        self.errors: list[dict[str, Any]] = list(body.get("errors", ()))
        fields = [f"{one.get('field') or 'request'}: {one.get('message')}" for one in self.errors]
        details = "; ".join(one for one in fields if self.detail not in one)
        super().__init__(f"{self.detail}{f' {details}' if details else ''} [{self.code}]")
