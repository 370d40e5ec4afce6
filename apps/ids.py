"""The ids that every log line of a piece of work carries: of its request, team, session, step, candidate and worker.

They are bound to the context of the running code (a task, a thread), so nothing passes them along. A message to a
worker takes those with it that still hold there (`carried_ids`), and a log entry of a session keeps them.
"""

from __future__ import annotations

import os
import socket
import uuid
from contextlib import AbstractContextManager
from typing import Any

from structlog.contextvars import bind_contextvars, bound_contextvars, clear_contextvars, get_contextvars

CARRIED = ("request", "team", "session")
"""What a message to a worker takes along. The step and its candidate are those of its receiver."""


def worker_name() -> str:
    """The name of this process, unique among all live workers."""
    return f"{socket.gethostname()}:{os.getpid()}"[:120]


def new_request_id() -> str:
    return uuid.uuid4().hex


def bind_ids(**ids: object) -> None:
    """Adds ids to the context. Empty ones are left out."""
    bind_contextvars(**_plain(ids))


def bound_ids(**ids: object) -> AbstractContextManager[Any]:
    """Adds ids to the context within the block."""
    manager: AbstractContextManager[Any] = bound_contextvars(**_plain(ids))
    return manager


def clear_ids() -> None:
    clear_contextvars()


def present_ids() -> dict[str, str]:
    """The ids of the context, as a new dictionary."""
    return {name: str(value) for name, value in get_contextvars().items()}


def carried_ids() -> dict[str, str]:
    """The ids that a message to a worker takes along."""
    return {name: value for name, value in present_ids().items() if name in CARRIED}


def _plain(ids: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in ids.items() if value not in (None, "")}
