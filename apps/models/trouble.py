"""Which errors are those of what Lathe stands on, and not of Lathe: the disk, the store, the network, the database.

Such an error says nothing about the file or the technique that was worked on, and trying again may well succeed.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import InterfaceError, OperationalError

from apps.agents.contracts.faults import causes, disk_trouble
from apps.errors import UserError

_OF_CLIENTS = frozenset({"botocore", "boto3", "s3transfer", "urllib3", "redis"})
"""Packages whose errors are of no common kind, and which need not be installed."""


@dataclass(frozen=True)
class Trouble:
    """What failed, and how, in words for a sentence."""

    what: str
    reason: str


def trouble_of(error: Exception) -> Trouble | None:
    """What `error` says of the world around Lathe; `None` where it is an expected error or a bug of ours."""
    if isinstance(error, UserError):
        return None
    if any(isinstance(cause, (InterfaceError, OperationalError)) for cause in causes(error)):
        return Trouble("The database", _words(error))
    if (reason := disk_trouble(error, None)) is not None:
        return Trouble("The worker’s disk or the store", reason)
    for cause in causes(error):
        if type(cause).__module__.partition(".")[0] in _OF_CLIENTS:
            return Trouble("The store or the network", _words(cause))
        if isinstance(cause, (MemoryError, OSError)):
            what = "Memory" if isinstance(cause, MemoryError) else "The worker’s disk, the store or the network"
            return Trouble(what, _words(cause))
    return None


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip(" :.\n")
