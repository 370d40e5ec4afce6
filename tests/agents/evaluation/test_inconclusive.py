"""Sessions that end without knowing: a machine too busy to time what may be better, and nothing measured at all."""

from __future__ import annotations

import pytest

from apps.agents.contracts.criteria import PROFILES, Constraints, Criteria, Objective
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.state import CandidateStatus, Outcome
from apps.agents.evaluation.inconclusive import minutes_needed
from apps.agents.evaluation.selection import BUSY, GAIN, Judgement, Standing, judge, verdict_of
from tests.agents.inmemory import InMemoryPipeline, Truth, evaluation, resnet

FASTEST, BALANCED = PROFILES["fastest"], PROFILES["balanced"]
SIZE = Criteria(objective=Objective.SIZE, constraints=Constraints())
SIZE_AND_SPEED = Criteria(objective=Objective.SIZE, constraints=Constraints(min_speedup=1.0))


def busy_report(
    criteria: Criteria, speedup: float = 4.0, size: float = 3.9, drop: float = 0.0, lost: int = 812
) -> EvaluationReport:
    """An evaluation on a machine where `lost` of 900 runs were disturbed."""
    report = evaluation(resnet(), Truth(speedup, size, drop), criteria)
    latency = report.latency.model_copy(update={"runs": 900, "disturbed": lost, "busy": True})
    return report.model_copy(update={"latency": latency})


def judged(criteria: Criteria, **numbers: float) -> Judgement:
    return judge(busy_report(criteria, **numbers), criteria)


def missed(judgement: Judgement) -> set[str]:
    return {constraint for constraint, _ in judgement.misses}


@pytest.mark.parametrize("criteria", [FASTEST, BALANCED, SIZE_AND_SPEED], ids=["latency", "balanced", "limit"])
@pytest.mark.parametrize("speedup", [0.2, 1.0, 30.0])
def test_a_speed_that_counts_and_is_not_known_stands_in_the_way_whatever_was_measured(criteria, speedup):
    judgement = judged(criteria, speedup=speedup)

    assert missed(judgement) == {BUSY}
    assert judgement.only_untimed
    assert "812 of 900 timed runs were disturbed by other programs" in judgement.reason
    assert "× as fast" not in judgement.reason


def test_what_else_is_wrong_with_a_candidate_is_said_on_a_busy_machine_too():
    assert missed(judged(FASTEST, drop=33.0)) == {BUSY, "max_metric_drop_points"}
    assert missed(judged(BALANCED, size=0.5)) == {BUSY, GAIN}
    assert judged(FASTEST, drop=33.0).only_loses_metric


def test_a_session_that_only_lacks_the_speed_is_inconclusive_and_says_how_many_runs_were_disturbed():
    found = {"c01": judged(FASTEST), "c02": judged(FASTEST, drop=33.0), "c03": judged(FASTEST, lost=700)}
    verdict = verdict_of(found, dict.fromkeys(found, "x"), FASTEST)

    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.headline.sentence == "Inconclusive: the machine is too busy"
    assert (verdict.disturbed_runs, verdict.timed_runs, verdict.binding) == (1512, 1800, BUSY)
    assert verdict.reason.startswith("1,512 of 1,800 timed runs were disturbed by other programs")
    assert "c01 and c03" in verdict.reason
    assert "LATHE_CORES" in (verdict.advice or "")
    assert {miss.constraint for miss in verdict.misses if miss.candidate == "c01"} == {BUSY}


def test_a_busy_machine_is_no_excuse_for_candidates_that_lose_too_much():
    verdict = verdict_of({"c01": judged(FASTEST, drop=33.0)}, {"c01": "x"}, FASTEST)

    assert (verdict.outcome, verdict.advice) == (Outcome.UNCHANGED, None)


def test_a_smaller_model_is_handed_over_by_size_and_its_speed_is_said_to_be_unknown():
    found = {"c01": judged(SIZE)}
    verdict = verdict_of(found, {"c01": "Dynamic int8"}, SIZE, chosen="c01")

    assert (found["c01"].standing, verdict.outcome) == (Standing.PROVEN, Outcome.IMPROVED)
    assert verdict.speed_unknown == "The speed is not known: 812 of 900 timed runs were disturbed by other programs."
    assert "speed not known, 3.90 times smaller" in verdict.reason


def test_a_session_whose_every_candidate_failed_says_why_each_did():
    world = resnet(failing={"onnx-static-int8": ("technique.failed", "It broke.")})
    criteria = FASTEST.model_copy(update={"allowed_techniques": ("onnx-static-int8",)})
    run = InMemoryPipeline(world, criteria).run()

    verdict = run.last.verdict
    assert verdict.outcome is Outcome.NOT_MEASURED
    assert verdict.headline.sentence == "Not measured: every candidate that was tried failed"
    assert "c01 failed: It broke." in verdict.reason
    assert "why each candidate failed" in verdict.advice
    assert run.candidate("c01").status is CandidateStatus.FAILED


def test_the_minutes_that_would_do_are_more_than_there_were_and_cover_what_the_steps_took():
    criteria = FASTEST.model_copy(update={"budget": FASTEST.budget.model_copy(update={"minutes": 2.0})})
    short = InMemoryPipeline(resnet(step_s=50.0), criteria).run()

    assert short.last.verdict.outcome is Outcome.NOT_MEASURED
    # The analysis, the plan and the preparation, 50 s each, one candidate made in as much, and twice an analysis.
    assert minutes_needed(short.state) == 5
    enough = criteria.model_copy(update={"budget": criteria.budget.model_copy(update={"minutes": 5.0})})
    assert InMemoryPipeline(resnet(step_s=50.0), enough).run().last.verdict.outcome is Outcome.IMPROVED
