"""Whole sessions in memory: the manager asks, functions answer, and the last decision is the verdict."""

from __future__ import annotations

import json
from unittest.mock import ANY

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.agents.contracts.criteria import PROFILES, Budget, Constraints, Criteria, Device, Objective, Target
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.state import (
    CandidateStatus,
    Closing,
    Outcome,
    Phase,
    SessionState,
    Status,
    StepKind,
    StepRecord,
    StepRequest,
)
from apps.agents.evaluation.selection import judge
from apps.agents.session.manager import OptimizationManager
from tests.agents.inmemory import (
    CONVOLUTION_FACTORS,
    DYNAMIC,
    EXPORT,
    GRAPH,
    HALF,
    PRODUCT_FACTORS,
    STATIC,
    InMemoryPipeline,
    Run,
    World,
    minilm,
    resnet,
)
from tests.agents.session.keys import EXPORT_ANALYSED, EXPORTED, EXPORTED_AND_PREPARED, PREPARED
from tests.agents.torch_worlds import torch_encoder

FASTEST, SMALLEST, BALANCED = PROFILES["fastest"], PROFILES["smallest"], PROFILES["balanced"]
SLOWER = dict.fromkeys(CONVOLUTION_FACTORS, 0.5)
PHASES = list(Phase)
STEPS_THAT_FAIL = (PREPARED, EXPORTED_AND_PREPARED, EXPORTED, "c01/optimize", "c02/evaluate", "c03/optimize", "package")


def run(world: World, criteria: Criteria = FASTEST, **more) -> Run:
    return InMemoryPipeline(world, criteria, **more).run()


def with_budget(criteria: Criteria, **budget) -> Criteria:
    return criteria.model_copy(update={"budget": Budget(**budget)})


def keys(session: Run) -> list[str]:
    return [step.request.key for step in session.state.steps]


# --- the way through -------------------------------------------------------------------------------------------------


def test_a_convolutional_network_ends_more_than_three_and_a_half_times_faster():
    session = run(resnet())

    verdict = session.last.verdict
    best = session.candidate(verdict.candidate)
    assert verdict.outcome is Outcome.IMPROVED
    assert best.score >= 3.5
    assert (best.parameters["activation_type"], best.parameters["weight_type"]) == ("uint8", "int8")
    assert best.status is CandidateStatus.SELECTED
    assert keys(session)[:5] == ["analyse", "plan", PREPARED, "c01/optimize", "c01/evaluate"]
    assert keys(session)[-1] == "package"


def test_number_types_are_measured_not_assumed():
    session = run(resnet())

    tried = [(request.parameters["activation_type"], request.parameters["weight_type"]) for request in session.tried]
    assert tried == [("uint8", "int8"), ("uint8", "uint8")]
    assert "score is at best" in session.events["skipped/c03"]


def test_the_faster_number_types_win_where_the_prediction_was_wrong():
    """On this machine signed activations are fast and unsigned ones slow."""
    swapped = {(STATIC, "uint8", "int8"): 0.8, (STATIC, "uint8", "uint8"): 0.9, (STATIC, "int8", "int8"): 3.0}
    session = run(resnet(factors=CONVOLUTION_FACTORS | swapped), BALANCED)

    best = session.candidate(session.last.verdict.candidate)
    assert (best.parameters["activation_type"], best.parameters["weight_type"]) == ("int8", "int8")


def test_a_transformer_ends_about_twice_as_fast_and_the_collapsing_variant_is_named():
    session = run(minilm(drop_margin=1.5))

    verdict = session.last.verdict
    assert session.candidate(verdict.candidate).score >= 1.8
    assert session.candidate(verdict.candidate).technique == DYNAMIC
    assert "more examples" in verdict.inconclusive[0]
    left_out = [reason for key, reason in session.events.items() if key.startswith("omitted/")]
    assert any("every operator" in reason and "Predicted to lose about" in reason for reason in left_out)


def test_the_safest_profile_keeps_the_original_when_the_examples_are_too_few():
    session = run(minilm(drop_margin=1.5), PROFILES["safest"])

    assert session.last.verdict.outcome is Outcome.UNCHANGED
    assert session.last.verdict.binding == "max_metric_drop_points"


def test_the_original_stands_where_every_int8_variant_is_slower_and_the_smaller_one_is_offered():
    session = run(resnet(factors=SLOWER))

    verdict = session.last.verdict
    assert verdict.outcome is Outcome.UNCHANGED
    assert verdict.binding == "min_speedup"
    assert "the objective size would accept its smaller file" in verdict.reason
    assert session.state.steps[-1].request.parent is None
    assert {"c01", "c02"} <= {miss.candidate for miss in verdict.misses}


def test_the_smaller_one_is_handed_over_where_size_was_the_goal():
    session = run(resnet(factors=SLOWER), SMALLEST)

    assert session.last.verdict.outcome is Outcome.IMPROVED
    assert session.candidate(session.last.verdict.candidate).score >= 3.7


def test_the_optimized_float_graph_wins_where_nothing_else_holds():
    criteria = FASTEST.model_copy(update={"constraints": Constraints(max_metric_drop_points=0.5)})
    session = run(resnet(factors=SLOWER, graph_speedup=1.3), criteria)

    assert session.candidate(session.last.verdict.candidate).technique == GRAPH


# --- failures --------------------------------------------------------------------------------------------------------


def test_a_failing_technique_costs_its_candidates_not_the_session():
    session = run(minilm(failing={DYNAMIC: ("technique.failed", "The library crashed.")}))

    assert session.last.verdict.outcome is Outcome.IMPROVED
    assert session.candidate(session.last.verdict.candidate).technique == STATIC
    failed = [c for c in session.last.candidates if c.technique == DYNAMIC and c.status is CandidateStatus.FAILED]
    assert failed
    assert failed[0].reason == "The library crashed."
    assert session.events[f"failed/{failed[0].key}"] == f"{failed[0].key} rolled back: The library crashed."


def test_a_technique_that_never_works_is_given_up():
    session = run(resnet(failing={STATIC: ("worker.out_of_memory", "Memory ran out.")}))

    assert session.last.verdict.outcome is Outcome.UNCHANGED
    assert sum(request.technique == STATIC for request in session.tried) <= 3


def test_a_failed_evaluation_fails_its_candidate():
    session = run(resnet(failing={"c01/evaluate": ("evaluation.failed", "Outputs were NaN.")}))

    assert session.candidate("c01").status is CandidateStatus.FAILED
    assert session.last.verdict.candidate == "c02"


def test_quantization_starts_from_the_original_where_preparation_failed():
    session = run(resnet(failing={PREPARED: ("technique.failed", "A fusion broke.")}))

    assert {request.parent for request in session.tried} == {None}
    assert session.last.verdict.outcome is Outcome.IMPROVED
    told = session.events[f"rolled-back/{PREPARED}"]
    assert told == "Graph optimization failed, so candidates skip it: A fusion broke."
    assert all(GRAPH not in [link.technique for link in one.steps[:-1]] for one in session.last.candidates)
    graph = next(candidate for candidate in session.last.candidates if candidate.technique == GRAPH)
    assert graph.status is CandidateStatus.SKIPPED


def test_a_graph_that_is_simple_already_is_no_failure():
    session = run(resnet(failing={PREPARED: ("technique.no_effect", "It has changed nothing.")}))

    assert session.last.verdict.outcome is Outcome.IMPROVED
    told = session.events[f"rolled-back/{PREPARED}"]
    assert told.startswith("Graph optimization has nothing to change here, so candidates skip it")
    graph = next(candidate for candidate in session.last.candidates if candidate.technique == GRAPH)
    assert graph.reason == "Left out: Graph optimization has nothing to change in this model."


def test_quantization_starts_from_the_optimized_graph():
    assert {request.parent for request in run(resnet()).tried} == {PREPARED}


@pytest.mark.parametrize("key", ["analyse", "plan"])
def test_a_step_that_the_session_needs_ends_it_with_its_code(key):
    session = run(resnet(failing={key: (f"{key}.broken", "It cannot be read.")}))

    assert session.last.failure == (f"{key}.broken", "It cannot be read.")
    assert session.last.verdict is None


def test_a_package_that_fails_is_packed_once_more_untried_and_costs_no_verdict():
    whole = run(resnet())
    session = run(resnet(failing={"package": ("step.killed", "It was ended by SIGSEGV.")}))

    assert session.last.verdict == whole.last.verdict
    assert keys(session)[-2:] == ["package", "package-untried"]
    assert session.state.steps[-1].request.parameters["untried"] == "It was ended by SIGSEGV."
    assert session.state.steps[-1].request.parent == session.state.steps[-2].request.parent


def test_a_package_that_cannot_be_packed_even_untried_ends_the_session():
    broken = ("store.away", "The store is away.")
    session = run(resnet(failing={"package": broken, "package-untried": broken}))

    assert session.last.failure == broken
    assert session.last.verdict is None


# --- limits ----------------------------------------------------------------------------------------------------------


def test_the_budget_of_candidates_is_kept_and_said():
    session = run(minilm(), with_budget(FASTEST, candidates=2))

    assert len(session.tried) == 2
    assert "the budget of 2 candidates is spent" in session.events["budget"]
    assert session.last.verdict.outcome is Outcome.IMPROVED
    skipped = [c for c in session.last.candidates if c.status is CandidateStatus.SKIPPED]
    assert skipped
    assert "budget" in skipped[0].reason


def test_the_budget_of_minutes_is_kept_and_said():
    session = run(minilm(step_s=60.0), with_budget(FASTEST, minutes=6.0))

    assert len(session.tried) == 1
    assert session.state.worked_s <= 6.0 * 60 + 60
    assert "minutes" in session.events["budget"]
    assert session.last.verdict.candidate == "c01"


def test_nothing_is_tried_when_the_analysis_takes_all_the_time():
    session = run(minilm(step_s=120.0), with_budget(FASTEST, minutes=1.0))

    assert keys(session) == ["analyse", "plan", "package"]
    verdict = session.last.verdict
    assert verdict.outcome is Outcome.NOT_MEASURED
    assert verdict.headline.sentence.startswith("Not measured: the budget ended")
    assert "budget of 1 minute is spent (its steps ran for 4.0)" in verdict.reason
    assert verdict.advice == "Give the session more time: at least about 8 minutes instead of 1."
    assert "not measured" in {event.action for event in session.last.events}
    assert session.last.candidates
    assert "budget" in session.events


def test_a_candidate_that_was_made_but_not_measured_in_time_is_said_to_be_so():
    session = run(resnet(step_s=60.0), with_budget(FASTEST, minutes=3.5))

    assert keys(session) == ["analyse", "plan", PREPARED, "c01/optimize", "package"]
    assert session.candidate("c01").status is CandidateStatus.SKIPPED
    assert session.candidate("c01").reason.startswith("Not measured:")
    assert session.last.verdict.outcome is Outcome.NOT_MEASURED


@pytest.mark.parametrize("parallelism", [1, 2, 5])
def test_no_more_steps_run_side_by_side_than_there_are_workers(parallelism):
    session = run(minilm(), parallelism=parallelism)

    assert session.most_active == parallelism
    assert session.last.verdict.outcome is Outcome.IMPROVED


def test_evaluations_come_before_new_candidates():
    for decision in run(minilm(), parallelism=3).decisions:
        kinds = [request.kind for request in decision.requests if request.candidate]
        assert kinds == sorted(kinds, key=lambda kind: kind is not StepKind.EVALUATE) or StepKind.PACKAGE in kinds


@pytest.mark.parametrize("forbidden", [(STATIC,), (DYNAMIC,), (GRAPH,), (GRAPH, STATIC)])
def test_a_forbidden_technique_is_never_asked_for(forbidden):
    session = run(minilm(), FASTEST.model_copy(update={"forbidden_techniques": forbidden}))

    assert not {step.request.technique for step in session.state.steps} & set(forbidden)


def test_a_technique_switched_off_after_planning_is_not_started():
    session = run(resnet(), parallelism=1)
    after_plan = next(state for state in session.states if keys_of(state) == ["analyse", "plan", PREPARED])

    decision = OptimizationManager().next(done(after_plan).model_copy(update={"disabled_techniques": (STATIC,)}))

    assert [request.technique for request in decision.requests] == [GRAPH]


def test_measuring_for_an_accelerator_goes_to_its_queue():
    criteria = FASTEST.model_copy(update={"target": Target(device=Device.CUDA)})
    session = run(minilm(), criteria)

    queues = {step.request.kind: step.request.queue for step in session.state.steps}
    assert queues[StepKind.ANALYSE] == queues[StepKind.EVALUATE] == "gpu"
    assert queues[StepKind.PLAN] == queues[StepKind.PACKAGE] == "cpu"


# --- what is told ----------------------------------------------------------------------------------------------------


def test_phases_never_run_back_and_progress_ends_at_one():
    session = run(minilm(), parallelism=2)

    phases = [PHASES.index(decision.phase) for decision in session.decisions]
    progress = [decision.progress for decision in session.decisions]
    assert phases == sorted(phases)
    assert set(phases) == set(range(len(PHASES)))
    assert all(0.0 <= share <= 1.0 for share in progress)
    assert progress[0] == 0.0
    assert progress[-1] == 1.0


def test_every_decision_is_told_with_a_sentence():
    session = run(minilm())

    told = session.events
    assert {"analysed", "plan", "planned/c01", "judged/c01", "verdict"} <= told.keys()
    assert all(reason.strip().endswith((".", ")")) and len(reason) > 15 for reason in told.values()), told


def test_the_package_carries_the_verdict_for_the_report():
    session = run(resnet())
    package = session.state.steps[-1].request

    assert Closing.model_validate(package.parameters).verdict == session.last.verdict
    assert package.parent == f"{session.last.verdict.candidate}/optimize"
    json.dumps(package.parameters)


# --- crashes and chance ----------------------------------------------------------------------------------------------


def keys_of(state: SessionState) -> list[str]:
    return [step.request.key for step in state.steps]


def done(state: SessionState) -> SessionState:
    steps = tuple(step.model_copy(update={"status": Status.COMPLETED}) for step in state.steps)
    return state.model_copy(update={"steps": steps})


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Random truths: how fast types are, what is fragile, what fails, what the analysis believes."""
    base = draw(st.sampled_from([resnet, minilm, torch_encoder]))()
    factor = st.floats(0.1, 6.0)
    names = [layer.name for layer in base.layers]
    failing = st.dictionaries(
        st.sampled_from([STATIC, DYNAMIC, GRAPH, *STEPS_THAT_FAIL]),
        st.sampled_from([("technique.failed", "It failed."), ("worker.lost", "The worker was lost.")]),
        max_size=3,
    )
    return World(
        layers=base.layers,
        size_bytes=base.size_bytes,
        factors={key: draw(factor) for key in {**CONVOLUTION_FACTORS, **PRODUCT_FACTORS}},
        sensitivity=draw(st.dictionaries(st.sampled_from(["Conv", "Add", "MatMul"]), st.floats(-5, 60), max_size=3)),
        fragile_operators=draw(
            st.dictionaries(st.sampled_from(["Add", "Conv", "Softmax"]), st.floats(0, 40), max_size=2)
        ),
        fragile_nodes=draw(st.dictionaries(st.sampled_from(names), st.floats(0, 10), max_size=6)),
        failing=draw(failing),
        drop_margin=draw(st.sampled_from([0.0, 0.3, 1.5])),
        graph_speedup=draw(st.floats(0.9, 1.3)),
        step_s=draw(st.sampled_from([1.0, 30.0, 200.0])),
        format=base.format,
        language=base.language,
        exported=base.exported,
        latency_ms=base.latency_ms,
    )


@st.composite
def wishes(draw: st.DrawFn) -> Criteria:
    return Criteria(
        objective=draw(st.sampled_from(list(Objective))),
        constraints=Constraints(
            max_metric_drop_points=draw(st.sampled_from([None, 0.0, 0.2, 1.0])),
            min_speedup=draw(st.sampled_from([None, 1.1, 2.0])),
            min_size_reduction=draw(st.sampled_from([None, 1.5])),
        ),
        forbidden_techniques=draw(st.sampled_from([(), (GRAPH,), (STATIC,)])),
        budget=Budget(candidates=draw(st.integers(1, 12)), minutes=draw(st.sampled_from([1.0, 10.0, 60.0]))),
        accept_inconclusive=draw(st.booleans()),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=worlds(), criteria=wishes(), parallelism=st.integers(1, 4), seed=st.integers(0, 99))
def test_whatever_happens_a_session_ends_well(world, criteria, parallelism, seed):
    session = run(world, criteria, parallelism=parallelism, seed=seed)

    asked = keys(session)
    assert len(asked) == len(set(asked))
    assert len(session.tried) <= criteria.budget.candidates
    assert session.most_active <= parallelism
    assert not {step.request.technique for step in session.state.steps} & set(criteria.forbidden_techniques)
    progress = [decision.progress for decision in session.decisions]
    assert all(0.0 <= share <= 1.0 for share in progress)
    known: set[str] = set()
    for decision in session.decisions:
        now = {candidate.key for candidate in decision.candidates}
        assert known <= now
        known = now
    if session.last.failure is not None:
        return
    statuses = {candidate.key: candidate.status for candidate in session.last.candidates}
    assert not set(statuses.values()) & {CandidateStatus.RUNNING, CandidateStatus.PLANNED}
    chosen = session.last.verdict.candidate
    assert (chosen is None) == (session.last.verdict.outcome is not Outcome.IMPROVED)
    assert [key for key, status in statuses.items() if status is CandidateStatus.SELECTED] == (
        [chosen] if chosen else []
    )
    if chosen is not None:
        body = next(step.result for step in session.state.steps if step.request.key == f"{chosen}/judge")
        report = EvaluationReport.model_validate(body)
        assert judge(report, criteria).accepted
        assert criteria.accept_inconclusive or all(verdict.status == "holds" for verdict in report.constraints)


@settings(max_examples=20, deadline=None)
@given(world=worlds(), criteria=wishes(), parallelism=st.integers(1, 3), seed=st.integers(0, 99))
def test_a_crash_at_any_point_changes_nothing(world, criteria, parallelism, seed):
    """A decision that was lost is made again the same, and one that was kept is not made twice."""
    session = run(world, criteria, parallelism=parallelism, seed=seed)
    manager = OptimizationManager()

    for state, decision in zip(session.states, session.decisions, strict=True):
        through_json = SessionState.model_validate_json(state.model_dump_json())
        assert manager.next(through_json).model_dump(mode="json") == decision.model_dump(mode="json")
    for before, decision in zip(session.states, session.decisions, strict=True):
        kept = before.model_copy(update={"steps": (*before.steps, *queued(decision.requests))})
        again = manager.next(kept)
        assert not {request.key for request in again.requests} & {step.request.key for step in kept.steps}
        assert {c.key for c in again.candidates} >= {c.key for c in decision.candidates}


def queued(requests: tuple[StepRequest, ...]) -> tuple[StepRecord, ...]:
    return tuple(StepRecord(request=request, status=Status.QUEUED) for request in requests)


# --- models of PyTorch -----------------------------------------------------------------------------------------------

NO_EXPORT = ("technique.invalid_output", "Export to ONNX: an operator has no counterpart.")


def test_a_pytorch_model_is_exported_and_analysed_again_before_the_plan():
    session = run(torch_encoder())

    assert keys(session)[:4] == ["analyse", EXPORTED, EXPORT_ANALYSED, "plan"]
    parents = {step.request.key: step.request.parent for step in session.state.steps}
    assert (parents[EXPORTED], parents[EXPORT_ANALYSED], parents[EXPORTED_AND_PREPARED]) == (None, EXPORTED, EXPORTED)
    best = session.candidate(session.last.verdict.candidate)
    assert best.technique == DYNAMIC
    assert best.score > 3.5, "the runtime's gain and the technique's together"


def test_phases_do_not_run_back_over_the_export():
    session = run(torch_encoder(), parallelism=2)

    progress = [decision.progress for decision in session.decisions]
    phases = [PHASES.index(decision.phase) for decision in session.decisions]
    assert all(0.0 <= share <= 1.0 for share in progress)
    assert phases == sorted(phases)


def test_the_plan_says_which_runtime_to_deploy_on():
    session = run(torch_encoder())

    said = "The float model takes 21.8 ms in PyTorch and 10.9 ms in ONNX Runtime: deploy it on ONNX Runtime"
    assert f"{said}, which is 2.00× as fast." in session.events["plan"]


def test_the_export_is_a_candidate_that_is_measured_without_being_made_again():
    only_export = FASTEST.model_copy(update={"allowed_techniques": (EXPORT,)})
    session = run(torch_encoder(), only_export)

    chosen = session.last.verdict.candidate
    assert session.candidate(chosen).technique == EXPORT
    steps = [f"{chosen}/evaluate", f"{chosen}/judge", "package"]
    assert keys(session) == ["analyse", EXPORTED, EXPORT_ANALYSED, "plan", *steps]
    assert {step.request.parent for step in session.state.steps[-3:]} == {EXPORTED}


# --- whose the gain is ------------------------------------------------------------------------------------------------


def evaluations(session: Run) -> dict[str, StepRequest]:
    steps = [step.request for step in session.state.steps if step.request.kind is StepKind.EVALUATE]
    return {session.candidate(request.candidate).technique: request for request in steps[::-1]}


@pytest.mark.parametrize("parallelism", [1, 3])
def test_the_float_model_in_another_runtime_is_measured_before_what_starts_from_it(parallelism: int):
    session = run(torch_encoder(), parallelism=parallelism)

    order = [step.request.candidate for step in session.state.steps if step.request.kind is StepKind.EVALUATE]
    first = session.candidate(order[0])
    asked = evaluations(session)
    assert first.technique == EXPORT
    assert asked[EXPORT].parameters == {"part": "choosing"}
    held = asked[DYNAMIC].parameters["runtime_baseline"]
    assert held == {"runtime": "ONNX Runtime", "speedup": pytest.approx(2.0), "size_ratio": ANY, "in_turns": True}


def test_with_a_budget_of_one_a_candidate_is_held_against_what_the_analyses_measured():
    session = run(torch_encoder(), with_budget(FASTEST, candidates=1))

    assert [request.technique for request in session.tried] == [DYNAMIC]
    held = evaluations(session)[DYNAMIC].parameters["runtime_baseline"]
    assert (held["speedup"], held["in_turns"]) == (pytest.approx(2.0), False)


def test_late_in_a_session_the_analyses_stand_for_the_float_model():
    as_fast = torch_encoder(step_s=60.0, latency_ms=minilm().latency_ms)
    session = run(as_fast, with_budget(FASTEST, minutes=7.0))

    assert evaluations(session)[DYNAMIC].parameters["runtime_baseline"]["in_turns"] is False


def test_in_the_runtime_of_the_original_nothing_is_held_against_another():
    assert all("runtime_baseline" not in request.parameters for request in evaluations(run(resnet())).values())


@pytest.mark.parametrize("key", [EXPORTED, EXPORT_ANALYSED])
def test_where_the_export_fails_the_plan_goes_on_without_onnx_and_says_why(key):
    session = run(torch_encoder(failing={key: NO_EXPORT}), BALANCED)

    assert session.last.verdict is not None
    tried = {request.technique for request in session.tried}
    assert tried
    assert all(technique.startswith("torch-") for technique in tried)
    left_out = [reason for event, reason in session.events.items() if event.startswith("omitted/")]
    lines = [reason for reason in left_out if "an operator has no counterpart" in reason]
    assert len(lines) == 2, "one for the export, one for all that starts from it"


@pytest.mark.parametrize("changes", [{"forbidden_techniques": (EXPORT,)}, {"allowed_techniques": (HALF,)}])
def test_without_permission_nothing_is_exported(changes):
    session = run(torch_encoder(), BALANCED.model_copy(update=changes))

    assert not {EXPORTED, EXPORT_ANALYSED, EXPORTED_AND_PREPARED} & set(keys(session))
    assert any("The criteria do not allow it." in reason for reason in session.events.values())


def test_without_the_library_nothing_is_exported():
    session = run(torch_encoder(), BALANCED, libraries=("torch", "transformers"))

    assert EXPORTED not in keys(session)
    missing = "No worker has onnx and onnxscript and onnxruntime installed."
    assert any(missing in reason for reason in session.events.values())


def test_an_onnx_model_is_not_exported():
    assert EXPORT not in {step.request.technique for step in run(resnet()).state.steps}
