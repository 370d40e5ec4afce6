"""The speed half of an evaluation: what is too good to be true is timed again, and oddities are told."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from apps.agents.contracts.criteria import Constraints, Criteria, Target
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate, LatencyComparison
from apps.agents.evaluation.pace import Pace
from apps.agents.evaluation.speed import Speed, Timed, remarks
from apps.agents.measuring.effort import Question, Watcher
from apps.agents.measuring.engine import Feeds
from tests.agents.told import Told
from tests.optimization import material

FEEDS = {"x": np.zeros((1, 2))}
TIMING = material.evaluation(speedup=3.0).latency


@dataclass
class Fixed:
    """A timer that finds what it is told to."""

    speedup: float
    busy: bool = False
    asked: list[Question] = field(default_factory=list)
    expected_s: float = 1.0

    def compare(
        self, feeds: Feeds, target: Target, question: Question, watcher: Watcher | None = None
    ) -> LatencyComparison:
        self.asked.append(question)
        bounds = (0.0, UNKNOWN) if self.busy else (self.speedup * 0.98, self.speedup * 1.02)
        estimate = Estimate(value=self.speedup, low=bounds[0], high=bounds[1])
        return TIMING.model_copy(update={"speedup": estimate, "busy": self.busy, "runs": 900, "disturbed": 812})


def beyond_twelve(speedup: Estimate) -> str | None:
    return "Twelve times at most." if (speedup.low or 0) > 12 else None


def measured(first: Fixed, again: Fixed, told: Told) -> Timed:
    speed = Speed(first, again, told, Pace(told))
    criteria = Criteria(constraints=Constraints(min_speedup=1.5))
    return speed.measure(FEEDS, Target(), criteria, 7, beyond_twelve)


def test_a_believable_speedup_is_timed_once_with_the_limit_in_question():
    first, again, told = Fixed(4.0), Fixed(4.0), Told()
    assert measured(first, again, told).latency.speedup.value == 4.0
    assert [question.decide_at for question in first.asked] == [(1.5,)]
    assert not again.asked
    assert told.metrics == {"speedup": 4.0}


def test_what_is_too_good_to_be_true_is_timed_again_and_the_second_time_counts():
    first, again, told = Fixed(30.0), Fixed(4.2), Told()
    result = measured(first, again, told)
    assert result.latency.speedup.value == 4.2
    assert [question.seed for question in (*first.asked, *again.asked)] == [7, 8]
    assert any(note.startswith("Timed twice, because the first speed-up, 30×,") for note in result.notes)
    assert any("timed again" in line for line in told.lines)


def test_what_stays_too_good_to_be_true_is_what_the_report_says():
    assert measured(Fixed(30.0), Fixed(29.0), Told()).latency.speedup.value == 29.0


def test_a_busy_machine_tells_no_speedup_and_is_not_timed_again():
    first, again, told = Fixed(30.0, busy=True), Fixed(4.0), Told()
    result = measured(first, again, told)
    assert not again.asked
    assert told.metrics == {}
    assert "812 of 900 timed runs were disturbed" in " ".join(result.notes)


@pytest.mark.parametrize(("by_cpu", "told"), [(3.7, True), (12.5, False), (None, False)])
def test_cpu_time_that_says_something_else_is_told(by_cpu: float | None, told: bool):
    latency = TIMING.model_copy(
        update={
            "speedup": Estimate(value=13.9, low=13.0, high=14.5),
            "cpu_speedup": None if by_cpu is None else Estimate(value=by_cpu, low=by_cpu, high=by_cpu),
        }
    )
    assert any("By CPU time" in note for note in remarks(latency)) is told
