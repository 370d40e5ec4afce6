"""Cores reserved for measuring: their notation, and binding a process to them."""

from __future__ import annotations

import os
from collections.abc import Collection

from apps.agents.contracts.errors.steps import StepCoresUnavailable


def usable() -> frozenset[int] | None:
    """The numbers of the cores that this process may use; `None` if the system cannot bind programs to cores."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else None


def written(cores: Collection[int]) -> str:
    """The numbers in Linux's notation: `2-3,6`."""
    spans: list[list[int]] = []
    for core in sorted(cores):
        if spans and core == spans[-1][1] + 1:
            spans[-1][1] = core
        else:
            spans.append([core, core])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def missing(cores: Collection[int]) -> str | None:
    """Why this process cannot be bound to `cores`, and what to set instead; `None` if it can."""
    mine = usable()
    if mine is None:
        return "this system cannot bind programs to cores: leave it empty."
    if set(cores) <= mine:
        return None
    return f"Lathe may use the cores {written(mine)} of this machine: name some of these, or none."


def bind(cores: Collection[int]) -> None:
    """Bind the calling thread, and everything it starts later, to `cores`. Raises `StepCoresUnavailable`."""
    if why := missing(cores):
        raise StepCoresUnavailable(cores=written(cores), why=why)
    os.sched_setaffinity(0, cores)
