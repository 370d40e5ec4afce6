"""Garbage collection while tests run: what lives until the end of the run is looked at only once."""

from __future__ import annotations

from lathe import garbage


def pytest_collection_finish() -> None:
    garbage.settle()
