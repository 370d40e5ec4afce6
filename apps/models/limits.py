"""How much memory a child may take: what this machine's operator says, and what the admin says where that is less.

The admin's value stands in the app above this one, which connects it when Django starts.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings

_more: list[Callable[[], int]] = []


def connect(limit_bytes: Callable[[], int]) -> None:
    """From now on `limit_bytes()` holds as well. Connecting it twice changes nothing."""
    if limit_bytes not in _more:
        _more.append(limit_bytes)


def memory_bytes() -> int:
    """The smallest of all limits, for steps and checks alike."""
    return min([settings.LATHE.step_memory_bytes, *(limit_bytes() for limit_bytes in _more)])
