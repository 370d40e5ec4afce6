"""The memory limit of a child process: the lower of this machine's environment setting and the setting in the admin.

The admin's value is in the app above this one, which connects it when Django starts.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings

_more: list[Callable[[], int]] = []


def connect(limit_bytes: Callable[[], int]) -> None:
    """Applies `limit_bytes()` as well from now on. Connecting it twice has no further effect."""
    if limit_bytes not in _more:
        _more.append(limit_bytes)


def memory_bytes() -> int:
    """The smallest of all limits, for steps and checks alike."""
    return min([settings.LATHE.step_memory_bytes, *(limit_bytes() for limit_bytes in _more)])
