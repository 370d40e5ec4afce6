"""Finalists of whole sessions in memory: who is judged on what, who is handed over, and what is said of it."""

from __future__ import annotations

import pytest

from apps.agents.contracts.criteria import PROFILES, Budget, Criteria
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.selection import Contest, Corrected
from apps.agents.contracts.state import CandidateStatus, Choice, Outcome, StepKind
from apps.agents.session.finalists import at_level, in_words
from tests.agents.inmemory import InMemoryPipeline, Run, World, resnet

FASTEST = PROFILES["fastest"]
CAUTIOUS = FASTEST.model_copy(update={"accept_inconclusive": False})
OPEN = 1.0
"""Half an interval on the validation examples that leaves open whether a candidate without loss holds."""


def run(world: World, criteria: Criteria = FASTEST, **more) -> Run:
    return InMemoryPipeline(world, criteria, **more).run()


def judged(session: Run) -> list[str]:
    """Candidates whose judging was asked for, in order."""
    return [step.request.candidate for step in session.state.steps if step.request.key.endswith("/judge")]


def test_candidates_are_ranked_on_one_part_and_the_best_is_judged_on_another():
    session = run(resnet())

    parts = {step.request.key: step.request.parameters["part"] for step in session.state.steps if evaluates(step)}
    ranked = {key: part for key, part in parts.items() if key.endswith("/evaluate")}
    assert set(ranked.values()) == {"choosing"}
    assert len(ranked) >= 2
    chosen = session.last.verdict.candidate
    assert {key: parts[key] for key in parts.keys() - ranked.keys()} == {f"{chosen}/judge": "evaluation"}


def evaluates(step) -> bool:
    return step.request.kind is StepKind.EVALUATE


def test_one_that_is_clearly_best_and_clearly_within_the_limit_is_judged_alone():
    session = run(resnet())

    choice = session.last.verdict.choice
    assert (choice.sharing, choice.confidence) == (1, FASTEST.confidence)
    assert choice.sentence.endswith(
        "and the best was judged on 1,200 test examples, which played no part in the choice."
    )


def test_where_the_validation_examples_leave_it_open_several_share_the_chance_of_error():
    session = run(resnet(choosing_margin=OPEN))

    choice = session.last.verdict.choice
    finalists = choice.finalists
    assert len(finalists) > 1
    first = next(step.request for step in session.state.steps if step.request.key.endswith("/judge"))
    assert first.parameters["finalists"] == list(finalists)
    assert first.parameters["confidence"] == pytest.approx(1 - 0.05 / len(finalists))
    assert set(first.parameters["contenders"]) >= set(finalists)


def test_judging_ends_with_the_first_that_is_proven_and_the_others_say_so():
    session = run(resnet(choosing_margin=OPEN))

    verdict = session.last.verdict
    assert judged(session) == [verdict.candidate] == [verdict.choice.finalists[0]]
    other = session.candidate(verdict.choice.finalists[1])
    assert other.status is CandidateStatus.ACCEPTED
    assert other.reason.endswith(f"Not judged: {verdict.candidate} is delivered.")
    assert "On 400 validation examples, nothing speaks against it" in other.reason


def test_a_finalist_that_was_only_lucky_is_rejected_and_the_next_one_is_handed_over():
    session = run(resnet(choosing_margin=OPEN, unlucky={"c01": 5.0}))

    assert judged(session)[:2] == ["c01", "c02"]
    assert session.last.verdict.candidate == "c02"
    fallen = session.candidate("c01")
    assert fallen.status is CandidateStatus.REJECTED
    assert fallen.reason.startswith(
        "Judged on 1,200 test examples, which played no part in the choice. Top-1 fell by 5.04 points"
    )
    on = "Judged on 1,200 test examples, which played no part in the choice."
    assert session.candidate("c02").reason.startswith(f"{on} It meets every")
    assert "c01 rolled back: Judged on" in session.events["judged/c01"]
    assert session.last.verdict.choice.judged == 2


@pytest.mark.parametrize("criteria", [FASTEST, CAUTIOUS])
def test_the_original_stands_where_no_finalist_is_proven_nor_measured_within_the_limit(criteria):
    session = run(resnet(choosing_margin=OPEN, unlucky={f"c0{number}": 5.0 for number in range(1, 10)}), criteria)

    verdict = session.last.verdict
    assert verdict.outcome is Outcome.UNCHANGED
    assert len(judged(session)) == len(verdict.choice.finalists) == verdict.choice.judged
    assert verdict.binding == "max_metric_drop_points"


def test_what_is_open_is_tolerated_only_once_nobody_is_proven():
    world = resnet(choosing_margin=OPEN, drop_margin=1.5)

    tolerated, refused = run(world), run(world, CAUTIOUS)

    finalists = tolerated.last.verdict.choice.finalists
    assert judged(tolerated) == list(finalists)
    assert tolerated.last.verdict.candidate == finalists[0]
    assert "more examples" in tolerated.last.verdict.inconclusive[0]
    assert refused.last.verdict.outcome is Outcome.UNCHANGED


def test_what_is_open_is_tolerated_of_nobody_who_loses_more_than_half_the_limit_on_both_parts_together():
    """Judged in the hope of a proof, which more examples might have given."""
    luckier = resnet(choosing_margin=OPEN, drop_margin=1.2, fragile_operators={"Conv": 1.1}, unlucky={"c01": -0.7})
    only_one = FASTEST.model_copy(update={"budget": Budget(candidates=1)})
    session = run(luckier, only_one)

    assert judged(session) == ["c01"]
    report = EvaluationReport.model_validate(session.state.steps[-2].result)
    assert report.primary.drop.value == pytest.approx(0.4)
    assert report.constraints[0].status is Holds.INCONCLUSIVE
    assert session.last.verdict.outcome is Outcome.UNCHANGED


def test_what_the_validation_part_measured_beyond_the_limit_is_tolerated_where_both_together_measure_little():
    luckier = resnet(choosing_margin=OPEN, drop_margin=1.2, fragile_operators={"Conv": 1.1}, unlucky={"c01": -0.9})
    session = run(luckier, FASTEST.model_copy(update={"budget": Budget(candidates=1)}))

    report = EvaluationReport.model_validate(session.state.steps[-2].result)
    assert report.constraints[0].status is Holds.INCONCLUSIVE
    assert session.last.verdict.candidate == "c01"
    assert session.last.verdict.inconclusive


def test_a_finalist_whose_judging_fails_is_a_failed_candidate_and_the_next_one_is_judged():
    broken = {"c01/judge": ("evaluation.failed", "Outputs were NaN.")}
    session = run(resnet(choosing_margin=OPEN, failing=broken))

    assert session.candidate("c01").status is CandidateStatus.FAILED
    assert session.candidate("c01").reason == "Outputs were NaN."
    assert session.last.verdict.candidate == "c02"


def test_where_no_finalist_can_be_judged_the_original_stands_and_says_why():
    broken = {f"c0{number}/judge": ("evaluation.failed", "Outputs were NaN.") for number in range(1, 10)}
    session = run(resnet(failing=broken))

    verdict = session.last.verdict
    assert verdict.outcome is Outcome.UNCHANGED
    assert "could not be judged: Outputs were NaN." in verdict.reason
    assert verdict.choice is None


def test_time_is_kept_back_for_judging_and_the_best_is_judged():
    minutes = FASTEST.model_copy(update={"budget": Budget(minutes=7.0)})
    session = run(resnet(step_s=60.0, choosing_margin=OPEN), minutes)

    assert judged(session) == ["c01"]
    assert session.last.verdict.candidate == "c01"
    assert "judging the best one" in session.events["budget"]


def test_the_best_is_judged_even_where_the_time_is_over_by_then_and_nobody_else():
    minutes = FASTEST.model_copy(update={"budget": Budget(minutes=4.5)})
    session = run(resnet(step_s=60.0, choosing_margin=OPEN, unlucky={"c01": 5.0}), minutes)

    assert session.state.worked_s > 4.5 * 60
    assert judged(session) == ["c01"]
    assert session.last.verdict.outcome is Outcome.UNCHANGED


def test_with_workers_free_finalists_are_judged_side_by_side_and_the_highest_ranked_proven_wins():
    session = run(resnet(choosing_margin=OPEN), parallelism=3)

    finalists = session.last.verdict.choice.finalists
    assert judged(session) == list(finalists)
    assert session.last.verdict.candidate == finalists[0]


def test_holms_step_down_lets_a_better_one_pass_that_the_strictest_level_left_open():
    """The first holds once the second is proven and needs no share any more."""
    world = resnet(choosing_margin=OPEN, drop_margin=0.45, unlucky={"c01": 0.5, "c02": 0.0})
    session = run(world, parallelism=3)

    choice = session.last.verdict.choice
    assert session.last.verdict.candidate == "c01"
    assert choice.sharing < len(choice.finalists)
    strict = reports_of(session)["c01"]
    assert strict.constraints[0].status is Holds.INCONCLUSIVE
    assert at_level(strict, choice.sharing).constraints[0].status is Holds.HOLDS
    assert session.last.verdict.inconclusive == ()


def reports_of(session: Run) -> dict[str, EvaluationReport]:
    return {
        step.request.candidate: EvaluationReport.model_validate(step.result)
        for step in session.state.steps
        if step.request.key.endswith("/judge")
    }


# --- words -----------------------------------------------------------------------------------------------------------


def test_what_choosing_cost_is_said_in_numbers():
    choice = Choice(
        tried=12,
        choosing_examples=400,
        finalists=("c03", "c01"),
        judged=2,
        judging_examples=1200,
        sharing=2,
        confidence=0.975,
        margin_alone=0.9,
        margin=1.0,
        contest=Contest(
            choosing=Corrected(candidate="c03", among=12, plain=-0.25, corrected=0.61, unit="points"),
            evaluation=Corrected(candidate="c01", among=2, plain=0.2, corrected=0.201, unit="points"),
        ),
        sentence="",
    )
    assert in_words(choice) == (
        "12 candidates were tried on 400 validation examples, and 2 finalists were judged on 1,200 test examples, "
        "which played no part in the choice. That 2 may be judged widened the loss's interval from ±0.9 to ±1 point. "
        "Ranking alone would have claimed a gain of 0.25 points for c03; without the luck of having come out best of "
        "12 it is a loss of 0.61 points."
    )


def test_resampling_that_finds_no_luck_takes_nothing_off():
    """A correction towards more gain is the resampling's noise: no gain grows for having come out best."""
    found = Corrected(candidate="c03", among=12, plain=-0.43, corrected=-0.46, unit="points")
    choice = Choice(
        tried=12,
        choosing_examples=400,
        finalists=("c03",),
        judged=1,
        judging_examples=1200,
        sharing=1,
        confidence=0.95,
        contest=Contest(choosing=found),
        sentence="",
    )
    assert "luck" not in in_words(choice)
    hardly = found.model_copy(update={"plain": 0.14, "corrected": 0.15})
    assert "luck" not in in_words(choice.model_copy(update={"contest": Contest(choosing=hardly)}))
    flattered = Contest(choosing=found.model_copy(update={"corrected": 0.2}))
    assert "luck" in in_words(choice.model_copy(update={"contest": flattered}))
