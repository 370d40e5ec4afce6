"""What one answer asks several times is read once: settings of operators, living workers, what is paused.

`one_reading` spans the making of an answer, such as the preview of a session. Within it, every part sees the same state
of the installation, as if all had asked at one moment. Outside of it, everything is read anew.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

Answer = TypeVar("Answer")
_read: ContextVar[dict[Hashable, Any] | None] = ContextVar("read", default=None)


@contextmanager
def one_reading() -> Iterator[None]:
    """Within it, `once` asks for the same thing once. One within another is part of it."""
    if _read.get() is not None:
        yield
        return
    token = _read.set({})
    try:
        yield
    finally:
        _read.reset(token)


def once(about: Hashable, ask: Callable[[], Answer]) -> Answer:
    """The answer of `ask`, or within a reading the one that it gave first. Nobody may change it."""
    found = _read.get()
    if found is None:
        return ask()
    if about not in found:
        found[about] = ask()
    answer: Answer = found[about]
    return answer
