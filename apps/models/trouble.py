"""Recognizes errors of the infrastructure under Lathe: the disk, the store, the network, the database.

Such an error says nothing about the file or the technique, and a retry may well succeed.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import InterfaceError, OperationalError

from apps.agents.contracts.faults import causes, disk_trouble
from apps.errors import UserError

_OF_BUCKETS = frozenset({"botocore", "boto3", "s3transfer"})
_OF_CLIENTS = _OF_BUCKETS | {"urllib3", "redis"}
"""Packages whose errors have no common base class. They need not be installed."""


@dataclass(frozen=True)
class Trouble:
    """What failed and why, worded as parts of a sentence."""

    what: str
    reason: str


def trouble_of(error: Exception) -> Trouble | None:
    """The infrastructure failure behind `error`; `None` if it is an expected error or a bug in Lathe."""
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


def store_is_away(error: Exception) -> bool:
    """Whether the store of files is behind `error`: a bucket that refuses or does not answer, a disk that is full or
    broken. What else fails on a network is none of its business.
    """
    if isinstance(error, UserError):
        return False
    if disk_trouble(error, None) is not None:
        return True
    return any(type(cause).__module__.partition(".")[0] in _OF_BUCKETS for cause in causes(error))


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip(" :.\n")
