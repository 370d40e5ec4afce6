"""Garbage collection in a process that lives long: what lives as long as the process is looked at only once.

Modules, models and routes are some hundred thousand objects. Every full collection walks over all of them to find the
few that a request has left behind. Pages take 5 to 10 % less time without that (`python -m benchmarks.page_times`).
"""

from __future__ import annotations

import gc

from django.urls import get_resolver

YOUNGEST = 10_000
"""New objects before the next look at them. A page makes tens of thousands, and nearly all end with it."""


def settle() -> None:
    """To be called once, when everything is imported: later collections pass over what exists now."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNGEST, *gc.get_threshold()[1:])


def settle_web() -> None:
    """The same for a process that serves pages. Routes, and with them all views, are loaded before, so that no first
    visitor waits for them.
    """
    _ = get_resolver().url_patterns
    settle()
