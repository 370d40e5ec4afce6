"""Pruned models in the plan and in the search: alone and quantized afterwards, one at a time."""

from __future__ import annotations

from itertools import pairwise

import pytest

from apps.agents.contracts.criteria import PROFILES, Budget, Constraints, Criteria, Objective
from apps.agents.contracts.reports.analysis import AnalysisReport, Compatibility
from apps.agents.contracts.state import CandidateRecord, Plan
from apps.agents.planning.agent import PlanningAgent
from apps.agents.session.manager import OptimizationManager
from apps.agents.techniques.knowledge.onnx_pruning import points_lost
from tests.agents.inmemory import DATASET, DECOMPOSE, GRAPH, PRUNE, STATIC, InMemoryPipeline, Run, minilm, resnet

FASTEST = PROFILES["fastest"]
RECOVER = "onnx-recover"


def _plan(criteria: Criteria = FASTEST, **known) -> Plan:
    """Without decompositions, which have plans of their own."""
    return PlanningAgent().plan(resnet().analysis, criteria, DATASET, disabled=(DECOMPOSE,), **known)


def _techniques(candidate: CandidateRecord) -> list[str]:
    return [link.technique for link in candidate.steps]


def _pruned(plan: Plan, *techniques: str) -> list[CandidateRecord]:
    return [one for one in plan.candidates if _techniques(one) == list(techniques)]


def _run(**more) -> Run:
    return InMemoryPipeline(resnet(), FASTEST, disabled=(DECOMPOSE,), **more).run()


def test_every_share_is_planned_alone_and_with_the_best_number_types_after_it():
    plan = _plan()
    alone, both = _pruned(plan, PRUNE), _pruned(plan, PRUNE, GRAPH, STATIC)
    grid = {(share, multiple) for share in (0.3, 0.5, 0.6, 0.7) for multiple in (8, 16)}
    for candidates in (alone, both):
        found = {
            (one.steps[0].parameters["macs_removed"], one.steps[0].parameters["multiple_of"]) for one in candidates
        }
        assert found >= grid
    assert {(one.parameters["activation_type"], one.parameters["weight_type"]) for one in both} == {("uint8", "int8")}


def _trained(minutes: float, training: int, of: AnalysisReport | None = None) -> Plan:
    criteria = FASTEST.model_copy(update={"budget": Budget(minutes=minutes, candidates=6)})
    dataset = DATASET.model_copy(update={"training_examples": training})
    return PlanningAgent().plan(of or resnet().analysis, criteria, dataset)


def test_deeper_cuts_are_trained_again_where_there_is_a_training_part_and_time():
    found = _pruned(_trained(30, 800), PRUNE, RECOVER, GRAPH, STATIC)
    assert {one.steps[0].parameters["macs_removed"] for one in found} == {0.8, 0.9}
    assert [one.steps[1].parameters["minutes"] for one in found] == [6.0, 6.0]
    assert [one.steps[1].inputs for one in found] == [{"teacher": ()}] * 2
    assert len(_pruned(_trained(5, 800), PRUNE, RECOVER, GRAPH, STATIC)) == 1
    for plan in (_trained(3, 800), _trained(30, 0)):
        assert not any(RECOVER in _techniques(one) for one in plan.candidates)


def test_without_a_training_part_the_plan_is_what_it_was_and_says_why_nothing_is_trained():
    plan, trained = _trained(30, 0), _trained(30, 800)
    others = [one for one in trained.candidates if RECOVER not in _techniques(one)]
    assert [(one.steps, one.predicted) for one in others] == [(one.steps, one.predicted) for one in plan.candidates]
    (reason,) = (one.reason for one in plan.omitted if one.technique == RECOVER)
    assert reason == "It trains the model, but the data set has no training part (training_share)."


def test_attention_networks_are_not_cut_and_trained():
    assert not any(PRUNE in _techniques(one) for one in _trained(30, 800, minilm().analysis).candidates)


def test_a_model_that_cannot_be_rebuilt_is_not_trained_and_the_plan_names_the_operators():
    analysis = resnet().analysis
    strange = analysis.model.model_copy(update={"operators": {**analysis.model.operators, "GridSample": 1}})
    plan = _trained(30, 800, analysis.model_copy(update={"model": strange}))
    assert not any(RECOVER in _techniques(one) for one in plan.candidates)
    (reason,) = (one.reason for one in plan.omitted if one.technique == RECOVER)
    assert reason == "GridSample cannot be rebuilt in PyTorch, so the model cannot be trained."


def test_they_come_after_all_candidates_that_do_without():
    pruned = [PRUNE in _techniques(one) for one in _plan().candidates]
    assert any(pruned)
    assert pruned == sorted(pruned)


def test_the_gains_of_both_multiply_and_their_losses_add_up():
    plan = _plan()
    both = next(one for one in _pruned(plan, PRUNE, GRAPH, STATIC) if one.steps[0].parameters["macs_removed"] == 0.5)
    alone = next(one for one in _pruned(plan, PRUNE) if one.steps == both.steps[:1])
    plain = next(one for one in plan.candidates if one.technique == STATIC)
    assert both.predicted.size_ratio == pytest.approx(alone.predicted.size_ratio * plain.predicted.size_ratio, rel=0.01)
    assert plain.predicted.speedup < both.predicted.speedup < alone.predicted.speedup * plain.predicted.speedup
    assert both.predicted.metric_drop_points >= alone.predicted.metric_drop_points
    assert both.predicted.metric_drop_high > both.predicted.metric_drop_points
    assert both.predicted.basis.startswith("First: 50% of the work removed")


def test_more_work_removed_is_predicted_faster_smaller_and_lossier():
    alone = [one for one in _pruned(_plan(), PRUNE) if one.steps[0].parameters["multiple_of"] == 16]
    alone.sort(key=lambda one: one.steps[0].parameters["macs_removed"])
    for field in ("speedup", "size_ratio", "metric_drop_points"):
        values = [getattr(one.predicted, field) for one in alone]
        assert values == sorted(values)
        assert values[0] < values[-1]


def test_losses_lie_on_lines_between_what_was_measured():
    assert points_lost(0.0) == 0.0
    assert points_lost(0.4) == pytest.approx((points_lost(0.3) + points_lost(0.5)) / 2)
    assert points_lost(0.99) == points_lost(0.95)


def test_where_the_analysis_finds_nothing_to_cut_none_is_planned_and_the_plan_says_why():
    reason = "No channels of it can be cut: head goes to the output logits."
    analysis = resnet().analysis
    found = (*analysis.compatibility, Compatibility(technique=PRUNE, compatible=False, reason=reason))
    plan = PlanningAgent().plan(analysis.model_copy(update={"compatibility": found}), FASTEST, DATASET)
    assert not any(PRUNE in _techniques(one) for one in plan.candidates)
    assert [one.reason for one in plan.omitted if one.technique == PRUNE] == [reason]


def test_attention_networks_are_left_alone():
    plan = PlanningAgent().plan(minilm().analysis, FASTEST, DATASET)
    assert not any(PRUNE in _techniques(one) for one in plan.candidates)


def test_a_limit_on_size_that_both_together_can_hold_leaves_the_pair_in():
    criteria = Criteria(
        objective=Objective.SIZE,
        constraints=Constraints(min_size_reduction=9.0),
        forbidden_techniques=("onnx-low-bits",),
    )
    plan = _plan(criteria)
    assert {tuple(_techniques(one)) for one in plan.candidates if one.technique in (PRUNE, STATIC)} == {
        (PRUNE, GRAPH, STATIC)
    }


def test_in_a_session_each_is_measured_before_the_next_is_made():
    session = _run(parallelism=3)
    made = [request.key for request in (step.request for step in session.state.steps)]
    shared = [key for key in made if key.startswith(f"{PRUNE}/")]
    assert shared
    for earlier, later in pairwise(shared):
        between = made[made.index(earlier) : made.index(later)]
        assert any(key.endswith("/evaluate") for key in between)


def test_an_evaluation_of_what_was_cut_says_so_and_a_plain_one_does_not():
    session = _run()
    for step in session.state.steps:
        request = step.request
        if request.key.endswith("/evaluate"):
            chain = _techniques(session.candidate(request.candidate))
            assert request.parameters.get("earlier") == ([PRUNE] if PRUNE in chain[:-1] else None)


def test_what_comes_after_a_technique_that_is_switched_off_is_left_out():
    session = _run()
    asks = next(
        state
        for state, decision in zip(session.states, session.decisions, strict=True)
        if any(request.technique == PRUNE for request in decision.requests)
    )
    decision = OptimizationManager().next(asks.model_copy(update={"disabled_techniques": (PRUNE, DECOMPOSE)}))
    assert not any(request.technique == PRUNE for request in decision.requests)
    assert decision.requests != ()


def test_a_small_budget_is_spent_on_the_safe_one_and_on_one_that_gains_much_more():
    criteria = FASTEST.model_copy(update={"budget": Budget(minutes=30, candidates=2)})
    session = InMemoryPipeline(resnet(), criteria, disabled=(DECOMPOSE,)).run()
    tried = [session.candidate(request.candidate) for request in session.tried]
    assert [_techniques(one) for one in tried] == [[GRAPH, STATIC], [PRUNE, GRAPH, STATIC]]
    assert tried[0].predicted.metric_drop_points < 0.1
    assert tried[1].predicted.speedup > 2 * tried[0].predicted.speedup


def test_a_pruned_candidate_is_named_after_the_cut_as_well():
    both = _pruned(_plan(), PRUNE, GRAPH, STATIC)
    assert len({one.title for one in both}) == len(both)
    assert both[0].title.startswith("Structured pruning: ")
    assert " → Static int8 (QDQ): " in both[0].title
