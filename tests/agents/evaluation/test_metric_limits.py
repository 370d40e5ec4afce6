"""Limits on metrics other than the primary one: verdicts, levels of finalists, and what needs measuring again."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.agents.contracts.criteria import Constraints, Criteria
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.evaluation.measured import MetricMeasured
from apps.agents.evaluation.quality import Question
from apps.agents.evaluation.rederiving import rederived, why_not
from apps.agents.evaluation.selection import judge, verdict_of
from apps.agents.evaluation.slack import slacks_of
from apps.agents.evaluation.verdicts import judge_metric
from apps.agents.session.finalists import at_level, tolerable
from apps.agents.session.headline import headline
from tests.agents.evaluation.test_quality import compared, data, leaning
from tests.optimization import material

__all__ = ["data"]

REPORT = material.evaluation(speedup=3.0, drop=0.1)
LIMITS = Constraints(metric_limits={"macro_f1": 2.0, "mae": 0.5})


def metric(name: str, low: float, high: float, *, higher: bool = True, unit: str = "%") -> MetricComparison:
    middle = (low + high) / 2
    return REPORT.primary.model_copy(
        update={
            "metric": name,
            "label": {"macro_f1": "macro F1", "mae": "mean absolute error"}[name],
            "unit": unit,
            "higher_is_better": higher,
            "drop": Estimate(value=middle, low=low, high=high),
        }
    )


def judged(f1: tuple[float, float], mae: tuple[float, float]) -> dict[str, Holds]:
    metrics = (REPORT.primary, metric("macro_f1", *f1), metric("mae", *mae, higher=False, unit=""))
    measured = MetricMeasured(REPORT.primary, 1000, 0.95, metrics=metrics)
    return {one.key: one.status for one in judge_metric(LIMITS, measured)}


def test_each_further_metric_is_compared_with_its_own_limit() -> None:
    found = judged((2.5, 3.5), (0.1, 0.2))
    assert found["metric_limits.macro_f1"] is Holds.VIOLATED
    assert found["metric_limits.mae"] is Holds.HOLDS
    assert judged((1.5, 3.5), (0.6, 0.7)) == {
        "max_metric_drop_points": Holds.HOLDS,
        "metric_limits.macro_f1": Holds.INCONCLUSIVE,
        "metric_limits.mae": Holds.VIOLATED,
    }


def test_one_broken_limit_rejects_the_candidate_in_the_metrics_words() -> None:
    broken = REPORT.model_copy(update={"metrics": (REPORT.primary, metric("macro_f1", 2.5, 3.5))})
    criteria = Criteria(constraints=Constraints(metric_limits={"macro_f1": 2.0}))
    judgement = judge(rederived(broken, criteria), criteria)
    assert not judgement.accepted
    assert judgement.misses[0][0] == "metric_limits"
    assert judgement.broken_besides_metric == "the limit on another metric's loss"
    assert judgement.only_loses_metric, "so a repair is worthwhile"
    assert "Macro F1 fell by 3 points" in judgement.reason
    verdict = verdict_of({"c01": judgement}, {"c01": "int8"}, criteria)
    assert verdict.binding == "metric_limits"
    assert "the limit on another metric's loss" in verdict.reason


def test_a_metric_that_only_the_values_exclude_is_not_known_and_proves_nothing() -> None:
    criteria = Criteria(constraints=Constraints(metric_limits={"mae": 0.5}), accept_inconclusive=True)
    report = rederived(REPORT, criteria)
    verdict = next(one for one in report.constraints if one.constraint == "metric_limits")
    assert verdict.status is Holds.INCONCLUSIVE
    assert "is not known" in verdict.sentence
    assert not judge(report, criteria).accepted


def test_an_open_limit_is_told_in_the_headline_and_as_slack() -> None:
    wide = REPORT.model_copy(update={"metrics": (REPORT.primary, metric("macro_f1", -1.0, 3.0))})
    criteria = Criteria(constraints=Constraints(metric_limits={"macro_f1": 2.0}))
    report = rederived(wide, criteria)
    assert "macro F1 not proven to stay within the limit" in headline(report, criteria, proven=False).sentence
    assert [one.subject for one in slacks_of(report.constraints)] == ["", "macro_f1"]
    assert judge(report, criteria).accepted, "inconclusive, within the limit, and less than three limits"
    higher = REPORT.model_copy(update={"metrics": (REPORT.primary, metric("macro_f1", 0.5, 3.4))})
    assert tolerable(report, report)
    assert not tolerable(rederived(higher, criteria), rederived(higher, criteria)), "more than half of the limit"


def test_what_was_not_measured_is_measured_again() -> None:
    asked = Criteria(constraints=Constraints(metric_limits={"sequence_agreement": 1.0}))
    assert why_not(REPORT, Criteria(), asked) == "the sequence agreement with the original was not measured"
    assert why_not(REPORT, Criteria(), Criteria(constraints=Constraints(max_output_deviation=0.1))) is None
    early = REPORT.model_copy(update={"examples_of_part": 2 * REPORT.examples})
    assert "ended early" in (
        why_not(early, Criteria(), Criteria(constraints=Constraints(max_output_deviation=0.1))) or ""
    )


@pytest.mark.parametrize("sharing", [3, 1])
def test_finalists_share_the_chance_of_error_on_these_limits_too(tmp_path: Path, data: Path, sharing: int) -> None:
    limits = Constraints(max_metric_drop_points=50.0, metric_limits={"macro_f1": 3.0})
    found = compared(tmp_path, data, leaning(0.3), Question(Criteria(constraints=limits), finalists=3))
    assert found.examples == found.examples_of_part, "no look at a part of the examples"
    level = next(one for one in found.levels if one.sharing == sharing)
    verdict = next(one for one in level.constraints if one.key == "metric_limits.macro_f1")
    strict = next(one for one in found.levels[0].constraints if one.key == verdict.key)
    report = REPORT.model_copy(update={"constraints": found.levels[0].constraints, "levels": found.levels})
    applied = next(one for one in at_level(report, sharing).constraints if one.key == verdict.key)
    assert applied == verdict
    widths = [one.measured.high - one.measured.low for one in (strict, verdict)]  # type: ignore[operator]
    assert widths[0] > widths[1] if sharing == 1 else widths[0] == widths[1]
