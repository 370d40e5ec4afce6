"""How processes that run tests side by side (`pytest -n 2`) share them out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

LONG = ("slow", "browser", "recovery")
"""Markers of tests that take long, whatever takes the time."""
LONGEST = ("tests/browser/", "tests/doors/", "tests/sessions/")
"""Where a file takes minutes: whole sessions."""


class ByFile(LoadFileScheduling):
    """A process takes a whole file, whose tests share what is dear to make; the browser's files are taken together."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "tests/browser" if file.startswith("tests/browser/") else file


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`-m timing` imports only the files that have the word: all others with their libraries take longer than them."""
    if config.option.markexpr != "timing" or not collection_path.match("test_*.py"):
        return None
    return None if "timing" in collection_path.read_text() else True


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    config.option.loadscopereorder = False  # keeps the order made below
    return ByFile(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests come first and those of few tests last, so that processes side by side end together."""
    slow = {item.path for item in items if any(item.get_closest_marker(name) for name in LONG)}
    tests = Counter(item.path for item in items)

    def turn(item: pytest.Item) -> tuple[bool, bool, int]:
        long = item.path in slow
        return not item.nodeid.startswith(LONGEST), not long, 0 if long else -tests[item.path]

    items.sort(key=turn)
