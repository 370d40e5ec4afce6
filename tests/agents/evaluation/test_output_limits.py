"""Limits on further outputs that have labels of their own: verdicts, levels, what is exempt, what is measured again."""

from __future__ import annotations

import pytest

from apps.agents.contracts.criteria import Constraints, Criteria
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.metrics import LabelledOutput, OutputComparison
from apps.agents.evaluation.decidability import earlier_of
from apps.agents.evaluation.quality import Question
from apps.agents.evaluation.rederiving import rederived, why_not
from apps.agents.evaluation.selection import judge
from apps.agents.session.headline import headline
from tests.optimization import material

REPORT = material.evaluation(speedup=3.0, drop=0.1)
FAR = OutputComparison(output="age", exact=False, examples=500, deviation=Estimate(value=0.6, low=0.5, high=0.7))
LIMITED = Criteria(constraints=Constraints(output_limits={"age": 2.0}))


def with_age(low: float, high: float) -> LabelledOutput:
    drop = Estimate(value=(low + high) / 2, low=low, high=high)
    metric = REPORT.primary.model_copy(update={"drop": drop})
    return LabelledOutput(output="age", task="classification", examples=500, metrics=(metric,))


def report(low: float, high: float, criteria: Criteria = LIMITED):
    measured = REPORT.model_copy(update={"labelled_outputs": (with_age(low, high),), "other_outputs": (FAR,)})
    return rederived(measured, criteria)


@pytest.mark.parametrize(
    ("low", "high", "status"), [(0.0, 1.0, Holds.HOLDS), (2.5, 3.5, Holds.VIOLATED), (1.0, 2.5, Holds.INCONCLUSIVE)]
)
def test_an_output_is_compared_with_its_limit_by_name(low: float, high: float, status: Holds) -> None:
    verdict = {one.key: one for one in report(low, high).constraints}["output_limits.age"]
    assert (verdict.status, verdict.subject, verdict.metric) == (status, "age", REPORT.primary.metric)
    assert "of the output 'age'" in verdict.sentence


def test_an_output_with_a_limit_on_its_labels_need_not_stay_near_the_originals() -> None:
    assert "max_output_deviation" not in {one.constraint for one in report(0.0, 1.0).constraints}
    found = {one.constraint: one.status for one in report(0.0, 1.0, Criteria()).constraints}
    assert found["max_output_deviation"] is Holds.VIOLATED, "labels without a limit exempt from nothing"


def test_a_broken_output_rejects_the_candidate_by_name_and_an_open_one_stands_in_the_headline() -> None:
    judgement = judge(report(2.5, 3.5), LIMITED)
    assert not judgement.accepted
    assert judgement.misses[0][0] == "output_limits"
    assert judgement.broken_besides_metric == "the limit on a further output's loss"
    told = headline(report(-1.0, 3.0), LIMITED, proven=False).sentence
    assert "the output age not proven to stay within the limit" in told
    assert "which nothing limits" not in told


def test_without_labels_the_loss_is_not_known_and_proves_nothing() -> None:
    found = rederived(REPORT, LIMITED)
    verdict = next(one for one in found.constraints if one.constraint == "output_limits")
    assert (verdict.status, "has no labels for it" in verdict.sentence) == (Holds.INCONCLUSIVE, True)
    assert not judge(found, LIMITED).accepted


def test_what_was_not_measured_by_labels_is_measured_again_and_every_example_is_used() -> None:
    assert why_not(REPORT, Criteria(), LIMITED) == "the output age was not measured by labels"
    assert why_not(report(0.0, 1.0), Criteria(), LIMITED) is None
    assert not Question(LIMITED).ends_early
    assert Question(Criteria()).ends_early


def test_earlier_sessions_tell_what_can_be_decided_about_an_output() -> None:
    assert any(name.startswith("age/") for name, _ in earlier_of(report(0.0, 1.0)).further)
