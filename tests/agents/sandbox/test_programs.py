"""Programs that a child starts: how they end, and what is told of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from apps.agents.sandbox.programs import Ended, run_to_end, started


def ran(folder: Path, code: str, limit_s: float = 30.0) -> Ended:
    return run_to_end([sys.executable, "-c", code], folder=folder, limit_s=limit_s)


def test_a_program_that_ends_well_has_printed_what_it_found(tmp_path: Path) -> None:
    ended = ran(tmp_path, "print(1, 2)")
    assert ended.well
    assert ended.output.split() == ["1", "2"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ValueError('no such model')", "ended: ValueError: no such model"),
        ("print('gave up'); raise SystemExit(3)", "ended: gave up"),
        ("raise SystemExit(3)", "ended: exit status 3"),
    ],
)
def test_the_last_line_says_why_it_did_not(tmp_path: Path, code: str, reason: str) -> None:
    ended = ran(tmp_path, code)
    assert not ended.well
    assert ended.reason == reason


def test_one_that_hangs_is_ended_and_not_taken_for_one_that_was_killed(tmp_path: Path) -> None:
    ended = ran(tmp_path, "import time; time.sleep(60)", limit_s=0.5)
    assert (ended.well, ended.overdue, ended.killed) == (False, True, False)
    assert ended.reason == "took more than 0 s"


def test_one_that_somebody_kills_is_known_as_such(tmp_path: Path) -> None:
    assert ran(tmp_path, "import os; os.kill(os.getpid(), 9)").killed


def test_a_program_that_prints_without_end_is_kept_by_its_end(tmp_path: Path) -> None:
    ended = ran(tmp_path, "print('x' * 10**7); print('last')")
    assert len(ended.output) < 10**6
    assert ended.output.endswith("last\n")


def test_what_is_told_to_one_that_has_ended_is_lost_without_an_error(tmp_path: Path) -> None:
    with started([sys.executable, "-c", "raise SystemExit('away')"], folder=tmp_path, limit_s=30.0) as program:
        ended = program.ended()
        program.send(b"x" * 10**6)
    assert ended.reason == "ended: away"
