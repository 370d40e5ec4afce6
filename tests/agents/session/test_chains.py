"""A candidate is a chain: what it consists of, what candidates share, and sessions from before there were chains."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.agents.contracts.chain import Application, key_of, prefix_key, sources
from apps.agents.contracts.criteria import PROFILES
from apps.agents.contracts.state import (
    CandidateRecord,
    CandidateStatus,
    Decision,
    SessionState,
    Status,
    StepKind,
)
from apps.agents.session.manager import OptimizationManager
from tests.agents.inmemory import DYNAMIC, EXPORT, GRAPH, STATIC, InMemoryPipeline, Run, World, resnet
from tests.agents.session.keys import EXPORT_ANALYSED, EXPORTED, EXPORTED_AND_PREPARED, PREPARED
from tests.agents.torch_worlds import torch_encoder

FASTEST, BALANCED = PROFILES["fastest"], PROFILES["balanced"]
BROKEN = ("technique.failed", "A fusion broke.")
FIRST = Application(technique="onnx-export", parameters={"opset": 18}, title="Export to ONNX")
SECOND = Application(technique="onnx-float16", parameters={}, title="Float16", variant="Conv in float")


def run(world: World, **more: Any) -> Run:
    return InMemoryPipeline(world, BALANCED, **more).run()


def techniques(candidate: CandidateRecord) -> list[str]:
    return [link.technique for link in candidate.steps]


# --- keys ------------------------------------------------------------------------------------------------------------


def test_the_same_chain_has_the_same_key_whatever_it_is_called():
    renamed = FIRST.model_copy(update={"title": "ONNX", "optional": True})

    assert key_of((FIRST, SECOND)) == key_of((renamed, SECOND))
    assert key_of((FIRST, SECOND)).startswith("onnx-float16/")


@pytest.mark.parametrize(
    "other",
    [
        (SECOND,),
        (SECOND, FIRST),
        (FIRST.model_copy(update={"parameters": {"opset": 17}}), SECOND),
    ],
)
def test_another_chain_has_another_key(other: tuple[Application, ...]):
    assert key_of(other) != key_of((FIRST, SECOND))


def test_a_key_survives_the_way_through_the_database_and_fits_into_its_column():
    parameters = {"keep_float_nodes": ("a", "b"), "bits": 4}
    stored = json.loads(json.dumps(dict(reversed(parameters.items()))))

    assert prefix_key([("onnx-weight-only", stored)]) == prefix_key([("onnx-weight-only", parameters)])
    assert len(f"{prefix_key([('x' * 60, {})])}/analyse") <= 60


def test_what_a_chain_makes_on_its_way_does_not_include_itself():
    assert list(sources((FIRST, SECOND))) == [(FIRST,)]
    assert list(sources((FIRST,))) == []


def test_what_a_link_reads_beside_the_model_is_part_of_the_key_and_is_made_before_it():
    taught = SECOND.model_copy(update={"inputs": {"teacher": (FIRST, SECOND)}})
    by_the_original = SECOND.model_copy(update={"inputs": {"teacher": ()}})

    keys = {key_of((link,)) for link in (SECOND, taught, by_the_original)}
    assert len(keys) == 3
    assert list(sources((FIRST, taught))) == [(FIRST,), (FIRST,), (FIRST, SECOND)]
    assert list(sources((by_the_original,))) == []


# --- what candidates consist of --------------------------------------------------------------------------------------


def test_exports_and_preparations_are_links_of_the_chain():
    candidates = {one.technique: one for one in run(torch_encoder()).last.candidates}

    assert techniques(candidates[DYNAMIC]) == [EXPORT, GRAPH, DYNAMIC]
    assert techniques(candidates[GRAPH]) == [EXPORT, GRAPH]
    assert techniques(candidates[EXPORT]) == [EXPORT]
    assert [link.optional for link in candidates[DYNAMIC].steps] == [False, True, False]


def test_a_repair_starts_from_what_its_candidate_starts_from():
    session = run(resnet(fragile_operators={"Add": 4.0}), parallelism=1)

    repairs = [one for one in session.last.candidates if one.parent]
    assert repairs
    assert all(techniques(one) == [GRAPH, STATIC] for one in repairs)


@pytest.mark.parametrize("world", [resnet(), torch_encoder()])
def test_each_chain_is_made_once(world: World):
    session = run(world, parallelism=3)

    by_key = {step.request.key: step.request for step in session.state.steps}
    made: list[str] = []
    for request in by_key.values():
        if request.kind is StepKind.OPTIMIZE:
            links = []
            while request is not None:
                links.append((request.technique, request.parameters))
                request = by_key.get(request.parent or "")
            made.append(prefix_key(links[::-1]))
    assert len(made) == len(set(made))
    graph = next(one for one in session.last.candidates if one.technique == GRAPH)
    measured = by_key.get(f"{graph.key}/evaluate")
    assert f"{graph.key}/optimize" not in by_key
    assert measured is None or measured.parent == (EXPORTED_AND_PREPARED if world.exported else PREPARED)


def test_where_a_link_is_lost_that_the_chain_needs_its_candidates_are_left_out_and_say_why():
    session = run(resnet(failing={PREPARED: BROKEN}))
    after = next(state for state in session.states if state.steps and state.steps[-1].request.key == PREPARED)
    steps = [step.model_dump(mode="json") for step in after.steps]
    for candidate in steps[1]["result"]["candidates"]:
        for link in candidate["steps"]:
            link["optional"] = False
    steps[2] |= {"status": "failed", "error_code": "technique.failed", "error": "A fusion broke."}
    state = SessionState.model_validate({**after.model_dump(mode="json"), "steps": steps})

    decision = OptimizationManager().next(state)

    (package,) = decision.requests
    reasons = package.parameters["skipped"]
    quantized = [one.key for one in decision.candidates if one.technique == STATIC]
    assert quantized
    assert {reasons[key] for key in quantized} == {"Left out: Graph optimization, which comes before it, failed."}


@pytest.mark.parametrize("technique", [DYNAMIC, EXPORT])
def test_the_audit_names_the_whole_chain(technique: str):
    session = run(torch_encoder())
    one = next(one for one in session.last.candidates if one.technique == technique)

    told = session.events[f"planned/{one.key}"]
    assert told.startswith(" → ".join(link.named for link in one.steps) + ". ")


# --- sessions from before --------------------------------------------------------------------------------------------

OLD_KEYS = {
    EXPORTED: "export",
    EXPORT_ANALYSED: "analyse-exported",
    EXPORTED_AND_PREPARED: "prepare",
    PREPARED: "prepare",
    "export/analyse": "analyse-exported",
}


def as_it_was_written(state: SessionState) -> SessionState:
    """The state under the keys of old, with candidates of one link and one title."""
    told = state.model_dump(mode="json")
    for step in told["steps"]:
        request = step["request"]
        request["key"] = OLD_KEYS.get(request["key"], request["key"])
        request["parents"] = {role: OLD_KEYS.get(key, key) for role, key in request["parents"].items()}
        for candidate in step["result"].get("candidates", ()):
            last = candidate.pop("steps")[-1]
            title = f"{last['title']}: {last['variant']}" if last["variant"] else last["title"]
            candidate |= {"title": title, "technique": last["technique"], "parameters": last["parameters"]}
    return SessionState.model_validate(told)


def said(decision: Decision) -> dict[str, Any]:
    told = json.loads(json.dumps(decision.model_dump(mode="json", exclude={"events"})))
    told["unneeded"] = [OLD_KEYS.get(key, key) for key in told["unneeded"]]
    if told["forecast"]:
        told["forecast"]["steps"] = sorted(told["forecast"]["steps"].values())
    for request in told["requests"]:
        request["key"] = OLD_KEYS.get(request["key"], request["key"])
        request["parents"] = {role: OLD_KEYS.get(key, key) for role, key in request["parents"].items()}
    return told


@pytest.mark.parametrize("parallelism", [1, 3])
@pytest.mark.parametrize(
    "world",
    [
        resnet(),
        resnet(failing={PREPARED: BROKEN}),
        torch_encoder(),
        torch_encoder(failing={EXPORTED: BROKEN}),
        torch_encoder(failing={EXPORTED_AND_PREPARED: BROKEN}),
    ],
)
def test_a_session_that_began_before_there_were_chains_goes_on_as_it_would_have(world: World, parallelism: int):
    session = run(world, parallelism=parallelism)

    for state, decision in zip(session.states, session.decisions, strict=True):
        assert said(OptimizationManager().next(as_it_was_written(state))) == said(decision)


def test_a_candidate_of_old_keeps_its_own_step_for_what_is_shared_now():
    """Graph optimization was made twice: to prepare, and as the candidate."""
    session = run(resnet())
    state = as_it_was_written(next(state for state in session.states if len(state.steps) == 4))
    graph = next(one for one in session.last.candidates if one.technique == GRAPH)
    shared = next(step for step in state.steps if step.request.key == "prepare")
    own = shared.request.model_copy(update={"key": f"{graph.key}/optimize", "candidate": graph.key})
    lost = shared.model_copy(update={"request": own, "status": Status.FAILED, "error": "It crashed."})

    decision = OptimizationManager().next(state.model_copy(update={"steps": (*state.steps, lost)}))

    found = next(one for one in decision.candidates if one.key == graph.key)
    assert (found.status, found.reason) == (CandidateStatus.FAILED, "It crashed.")


def test_an_old_title_is_read_as_title_and_variant():
    record = CandidateRecord.model_validate(
        {
            "key": "c01",
            "title": "Static int8 (QDQ): activations uint8, weights int8; every operator",
            "technique": STATIC,
            "parameters": {"per_channel": True},
            "predicted": {"speedup": 2, "size_ratio": 4, "metric_drop_points": 0, "risk": "low", "basis": "Known."},
            "reason": "Small.",
        }
    )

    assert record.last.title == "Static int8 (QDQ)"
    assert record.last.variant == "activations uint8, weights int8; every operator"
    assert record.title == "Static int8 (QDQ): activations uint8, weights int8; every operator"
    assert CandidateRecord.model_validate(record.model_dump(mode="json")) == record
