"""Garbage collection while tests run: what lives until the end of the run is looked at only once."""

from __future__ import annotations

import gc

YOUNGEST = 10_000


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNGEST, *gc.get_threshold()[1:])
