"""How far an evaluation says it has come."""

from __future__ import annotations

from dataclasses import dataclass

from apps.agents.evaluation.pace import Pace
from tests.agents.told import Told


@dataclass
class Clock:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_the_share_is_that_of_the_time():
    told, clock = Told(), Clock()
    pace = Pace(told, clock)
    pace.reached("Comparing", 30.0)
    clock.now_s += 10.0
    pace.reached("Comparing", 30.0)
    clock.now_s += 20.0
    pace.reached("Timing", 10.0)
    assert told.fractions == [0.0, 0.25, 0.75]
    assert told.etas_s == [30.0, 30.0, 10.0]


def test_it_never_falls_when_more_is_left_than_was_expected():
    told, clock = Told(), Clock()
    pace = Pace(told, clock)
    clock.now_s += 9.0
    pace.reached("Timing", 3.0)
    pace.reached("Timing again", 91.0)
    pace.reached("Timing again", None)
    assert told.fractions == [0.75, 0.75, 0.75]
    assert told.etas_s == [3.0, 91.0, None]


def test_a_pause_is_no_work():
    told, clock = Told(), Clock()
    pace = Pace(told, clock)
    clock.now_s += 10.0
    pace.reached("Timing", 10.0)
    clock.now_s += 30.0
    pace.paused(30.0)
    pace.reached("Timing", 10.0)
    assert told.fractions == [0.5, 0.5]


def test_what_takes_no_time_at_all_is_done():
    told = Told()
    Pace(told, Clock()).reached("Evaluated", 0.0)
    assert told.fractions == [1.0]
