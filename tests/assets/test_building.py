"""An asset is built once, however many processes ask for it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.assets.building import built


def test_who_comes_second_waits_and_takes_what_the_first_has_made(empty_cache: Path) -> None:
    made: list[Path] = []

    def build(folder: Path) -> None:
        made.append(folder)
        time.sleep(0.2)
        (folder / "model").write_text("whole")

    with ThreadPoolExecutor() as threads:
        folders = list(threads.map(lambda _: built("model", ("building.py",), build), range(3)))

    assert len(made) == 1
    assert {(folder / "model").read_text() for folder in folders} == {"whole"}
