"""What a check of the doctor has found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """Lathe works, but not as a team should rely on."""
    FAILED = "failed"
    """Something does not work."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    check: str
    """A stable name: `clock.database`."""
    state: State
    sentence: str
    mend: str = ""
    """What to do about it; empty if nothing is wrong."""


def ok(check: str, sentence: str) -> Finding:
    return Finding(check, State.OK, sentence)


def warning(check: str, sentence: str, mend: str) -> Finding:
    return Finding(check, State.WARNING, sentence, mend)


def failed(check: str, sentence: str, mend: str) -> Finding:
    return Finding(check, State.FAILED, sentence, mend)
