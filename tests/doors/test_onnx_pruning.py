"""A session that prunes a network without training and quantizes what is left, from the upload to the verdict."""

from __future__ import annotations

import io

import numpy as np
import pytest

from apps.agents.contracts.criteria import Budget, Constraints, Objective
from apps.agents.contracts.state import Outcome, StepKind
from apps.audit.models import AuditEvent
from tests.agents.backends.onnx_pruning.nets import Net, pictures
from tests.agents.workshop import DEPTHWISE, FASHION, RESNET
from tests.door import Door, quick, shorter_sensitivity, told

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.timeout(900)]
PRUNE, RECOVER, GRAPH, STATIC = "onnx-prune", "onnx-recover", "onnx-graph", "onnx-static-int8"
CLASSES = {"kind": "npz", "task": "classification"}
FIDELITY = {"kind": "npz", "task": "fidelity"}


def test_a_pruned_and_quantized_candidate_is_measured_beside_the_plain_quantizations(door: Door):
    model, data = door.model(DEPTHWISE), door.data(FASHION, CLASSES)
    criteria = quick(
        *(PRUNE, STATIC),
        objective=Objective.LATENCY,
        constraints=Constraints(max_metric_drop_points=10.0),
        budget=Budget(minutes=30.0, candidates=3),
    )
    with shorter_sensitivity(5.0):
        session = door.verdict(model, data, criteria)
    chains = {one.key: [link["technique"] for link in one.steps] for one in session.candidates.all()}
    made = [step for step in session.steps.order_by("pk") if step.kind == StepKind.OPTIMIZE]
    assert sorted({step.technique for step in made}) == [PRUNE, STATIC], told(session)
    cut = next(place for place, step in enumerate(made) if step.technique == PRUNE)
    last = session.candidates.get(key=made[cut + 1].key.split("/")[0])
    assert chains[last.key] == [PRUNE, STATIC]
    assert last.status in ("accepted", "selected"), last.reason
    pruned = made[cut].result["evidence"]
    assert pruned["macs_removed"] >= last.steps[0]["parameters"]["macs_removed"]
    assert pruned["uncut"] == [{"name": "head", "width": 10, "reason": "goes to the output logits"}]
    assert made[cut + 1].result["input_size_bytes"] == made[cut].result["size_bytes"]
    trail = {event.key: event.reason for event in AuditEvent.objects.filter(session_id=session.pk, action="made")}
    for step in made:
        assert all(check in trail[f"made/{step.key}"] for check in step.result["checks"]), trail


def test_where_nothing_can_be_cut_the_plan_says_so(door: Door):
    net = Net()
    proto = net.model(net.conv("only", "x", 16))
    stream = io.BytesIO()
    np.savez(stream, x=pictures(64))
    model, data = door.model(proto.SerializeToString(), "net.onnx"), door.data(stream.getvalue(), FIDELITY, "x.npz")
    session = door.verdict(model, data, quick(PRUNE, "onnx-float16"))
    plan = session.steps.get(kind=StepKind.PLAN)
    reasons = {one["technique"]: one["reason"] for one in plan.result["omitted"]}
    assert reasons[PRUNE] == "No channels of it can be cut: only goes to the output only.y."
    assert PRUNE not in {link["technique"] for one in plan.result["candidates"] for link in one["steps"]}


def test_without_a_training_part_the_plan_says_why_nothing_is_trained(door: Door):
    model, data = door.model(DEPTHWISE), door.data(FASHION, CLASSES)
    preview = door.preview(model, data, quick(PRUNE, RECOVER, STATIC, budget=Budget(minutes=30.0, candidates=4)))
    reasons = {one["technique"]: one["reason"] for one in preview["plan"]["omitted"]}
    assert reasons[RECOVER] == "It trains the model, but the data set has no training part (training_share)."
    assert RECOVER not in str(preview["plan"]["candidates"])


@pytest.mark.nightly
def test_a_network_is_pruned_trained_again_and_quantized_as_one_candidate(door: Door):
    chain = (PRUNE, RECOVER, GRAPH, STATIC)
    model, data = door.model(RESNET), door.data(FASHION, {**CLASSES, "training_share": 0.5})
    smaller = Constraints(max_metric_drop_points=10.0, min_size_reduction=12.0)  # Than 8 bits alone can make it.
    criteria = quick(
        *chain, constraints=smaller, required_techniques=(RECOVER,), budget=Budget(minutes=5.0, candidates=1)
    )
    with shorter_sensitivity(2.0):
        session = door.verdict(model, data, criteria)
    assert session.outcome == Outcome.IMPROVED, told(session)
    (candidate,) = session.candidates.filter(status="selected")
    assert tuple(link["technique"] for link in candidate.steps) == chain
    step = session.steps.get(kind=StepKind.OPTIMIZE, technique=RECOVER)
    assert step.parents["teacher"] == "original"
    trained = step.result["evidence"]
    assert trained["held_out_loss_after"] < trained["held_out_loss_before"]


@pytest.mark.nightly
def test_a_second_session_starts_from_a_pruned_model_that_was_promoted(door: Door):
    model, data = door.model(DEPTHWISE), door.data(FASHION, CLASSES)
    with shorter_sensitivity(1.0):
        first = door.verdict(model, data, quick(PRUNE))
        assert first.outcome == Outcome.IMPROVED, told(first)
        second = door.verdict(door.promoted(first), data, quick(STATIC))
    assert second.outcome == Outcome.IMPROVED, told(second)
    assert second.version.metadata.summary.size_bytes < model.metadata.summary.size_bytes
