"""Verdicts derived anew from recorded measurements, and measurements that do not answer another question."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents.contracts.criteria import Constraints, CountedSize, Criteria, Objective, Target
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.measurements import Pair
from apps.agents.evaluation.rederiving import rederived, why_not
from tests.optimization import material

REPORT = material.evaluation(speedup=3.0, drop=0.5)
"""Between 0.4 and 0.6 points lost, four times smaller, 2.91 to 3.09 times as fast."""
USUAL = Criteria()


def verdicts(report: EvaluationReport, **limits: Any) -> dict[str, Holds]:
    criteria = Criteria(constraints=Constraints(**limits))
    return {one.constraint: one.status for one in rederived(report, criteria).constraints}


@pytest.mark.parametrize(("limit", "status"), [(1.0, Holds.HOLDS), (0.5, Holds.INCONCLUSIVE), (0.2, Holds.VIOLATED)])
def test_the_recorded_interval_is_compared_with_the_new_limit(limit: float, status: Holds) -> None:
    assert verdicts(REPORT, max_metric_drop_points=limit) == {"max_metric_drop_points": status}


def test_limits_that_were_not_there_before_are_decided_and_the_others_go() -> None:
    found = verdicts(
        REPORT, max_metric_drop_points=None, min_speedup=2.0, min_size_reduction=5.0, max_memory_bytes=10**8
    )
    assert found == {"min_speedup": Holds.HOLDS, "min_size_reduction": Holds.VIOLATED, "max_memory_bytes": Holds.HOLDS}
    assert rederived(REPORT, Criteria(constraints=Constraints(min_size_reduction=5.0))).verdict is Holds.VIOLATED


@pytest.mark.parametrize(
    ("counted", "field"), [(CountedSize.COMPRESSED, "compressed_bytes"), (CountedSize.TFLITE, "litert_bytes")]
)
def test_another_size_counts_where_it_was_measured(counted: CountedSize, field: str) -> None:
    other = Criteria(counted_size=counted, constraints=Constraints(min_size_reduction=3.0))
    assert why_not(REPORT, USUAL, other) == f"the size of {counted.subject} was not measured"
    measured = REPORT.model_copy(update={field: Pair(original=300, candidate=150, ratio=2.0)})
    assert why_not(measured, USUAL, other) is None
    assert rederived(measured, other).verdict is Holds.VIOLATED


def test_the_measurements_themselves_stay() -> None:
    found = rederived(REPORT, Criteria(constraints=Constraints(max_metric_drop_points=0.1)))
    changed = {"constraints", "verdict"}
    assert found.model_dump(exclude=changed) == REPORT.model_dump(exclude=changed)


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (Criteria(objective=Objective.SIZE, constraints=Constraints(max_metric_drop_points=0.2)), None),
        (Criteria(forbidden_techniques=("onnx-float16",)), None),
        (Criteria(confidence=0.99), "for a confidence of 0.95, not 0.99"),
        (Criteria(target=Target(threads=4)), "another target"),
    ],
)
def test_what_other_criteria_need(after: Criteria, why: str | None) -> None:
    found = why_not(REPORT, USUAL, after)
    assert (found is None) if why is None else (why in (found or ""))


def test_a_comparison_that_ended_early_answers_only_its_own_limits() -> None:
    early = REPORT.model_copy(update={"examples_of_part": 2 * REPORT.examples})
    tighter = Criteria(constraints=Constraints(max_metric_drop_points=0.2))
    assert "ended early" in (why_not(early, USUAL, tighter) or "")
    assert why_not(early, USUAL, Criteria(constraints=Constraints(min_speedup=1.5))) is None


def test_what_a_busy_machine_could_not_time_is_timed_again() -> None:
    assert "too busy" in (
        why_not(material.evaluation_on_a_busy_machine(), USUAL, Criteria(objective=Objective.SIZE)) or ""
    )
