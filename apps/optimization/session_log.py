"""The whole log of a session as a file: plain text, or one JSON object per line with all ids."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum

from django.http import HttpRequest, StreamingHttpResponse
from django.utils.http import content_disposition_header

from apps.optimization.models import LogEntry, OptimizationSession
from apps.streaming import body_of

LINES_AT_ONCE = 1000


class Form(StrEnum):
    """The forms of the file, by their suffixes."""

    TEXT = "txt"
    LINES = "jsonl"


PLAIN_TEXT = "text/plain"
"""JSON lines have no registered type, and generated clients know none but this."""


def log_response(request: HttpRequest, session: OptimizationSession, form: Form) -> StreamingHttpResponse:
    """The log of `session` as a download, read in portions while it is sent."""
    body = body_of(request, _Pieces(session, form).next_piece)
    filename = f"session-{session.pk}.{form}"
    disposition = content_disposition_header(True, filename) or "attachment"
    headers = {"Content-Disposition": disposition, "Cache-Control": "private, no-cache"}
    return StreamingHttpResponse(body, content_type=f"{PLAIN_TEXT}; charset=utf-8", headers=headers)


class _Pieces:
    def __init__(self, session: OptimizationSession, form: Form) -> None:
        self._session = session
        self._write: Callable[[LogEntry, dict[str, str]], str] = _text if form is Form.TEXT else self._json
        self._candidates: dict[str, str] = dict(session.steps.values_list("key", "candidate_key"))
        self._last = 0

    def next_piece(self) -> bytes:
        """The next lines; empty at the end."""
        entries = list(self._session.log.filter(pk__gt=self._last).order_by("pk")[:LINES_AT_ONCE])
        if not entries:
            return b""
        self._last = entries[-1].pk
        return "".join(f"{self._write(entry, self._ids(entry))}\n" for entry in entries).encode()

    def _ids(self, entry: LogEntry) -> dict[str, str]:
        """The ids of the line. Lines from before they were kept have those that follow from the step."""
        known = {"session": str(self._session.pk), "step": entry.step_key}
        known["candidate"] = self._candidates.get(entry.step_key, "")
        return {name: value for name, value in {**known, **entry.context}.items() if value}

    @staticmethod
    def _json(entry: LogEntry, ids: dict[str, str]) -> str:
        line = {"timestamp": entry.at.isoformat(), "level": entry.level, "message": entry.message, **ids}
        return json.dumps(line, ensure_ascii=False)


def _text(entry: LogEntry, ids: dict[str, str]) -> str:
    """One line; further lines of the message are indented, so that each entry begins with its time."""
    at = entry.at.isoformat(sep=" ", timespec="milliseconds")
    about = " ".join(ids[name] for name in ("step", "worker") if name in ids)
    message = entry.message.replace("\n", "\n    ")
    return f"{at} {entry.level:<7} {f'[{about}] ' if about else ''}{message}"
