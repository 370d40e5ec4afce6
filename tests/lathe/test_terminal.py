"""Progress and report as text."""

from __future__ import annotations

import pytest

from apps.agents.contracts.reports.measurements import Estimate
from lathe import terminal
from tests.optimization import material

pytestmark = pytest.mark.portable


def test_numbers_stand_to_the_right_and_words_to_the_left():
    drawn = terminal.table(
        [("original", "91.42", *[""] * 6, ""), ("static int8", "9.5", *["1"] * 6, "holds")],
        ("", "top-1 %", "a", "b", "c", "d", "e", "f", "verdict"),
    )
    lines = drawn.splitlines()
    assert lines[0].startswith("             top-1 %")
    assert set(lines[1]) == {"─"}
    assert lines[2] == "original       91.42"
    assert lines[3] == "static int8      9.5  1  1  1  1  1  1  holds"


def test_how_a_candidate_was_timed_is_one_line():
    latency = material.evaluation(speedup=3.0).latency.model_copy(
        update={
            "runs": 1584,
            "disturbed": 1580,
            "processes": 6,
            "priority": "SCHED_FIFO, priority 1",
            "cpu_speedup": Estimate(value=3.1, low=3.0, high=3.2),
            "busy": True,
        }
    )
    assert terminal.how_timed("c01", latency) == (
        "c01 was timed in 1,584 runs, 1,580 of them disturbed; 6 processes; SCHED_FIFO, priority 1; by CPU time 3.10×. "
        "Too busy: the speed-up is not known."
    )
