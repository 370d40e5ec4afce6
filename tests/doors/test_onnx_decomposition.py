"""A session that replaces layers by smaller factors and quantizes them, from the upload to the verdict."""

from __future__ import annotations

import io

import numpy as np
import pytest

from apps.agents.contracts.criteria import Budget, Constraints
from apps.agents.contracts.state import Outcome, StepKind
from apps.optimization.models import OptimizationSession
from tests.agents.backends.onnx_pruning.nets import Net, pictures
from tests.agents.workshop import FASHION, RESNET
from tests.door import Door, quick, shorter_sensitivity, told
from tests.optimization import crank

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.timeout(900)]
PRUNE, DECOMPOSE, STATIC = "onnx-prune", "onnx-decompose", "onnx-static-int8"
RECOVER = "onnx-recover"
CLASSES = {"kind": "npz", "task": "classification"}
FIDELITY = {"kind": "npz", "task": "fidelity"}


def test_where_no_layer_can_be_replaced_the_plan_says_so(door: Door):
    net = Net(4)
    proto = net.model(net.conv("only", "x", 4, group=4))
    stream = io.BytesIO()
    np.savez(stream, x=pictures(64, 4))
    model, data = door.model(proto.SerializeToString(), "net.onnx"), door.data(stream.getvalue(), FIDELITY, "x.npz")
    session = door.verdict(model, data, quick(DECOMPOSE, "onnx-float16"))
    plan = session.steps.get(kind=StepKind.PLAN)
    reasons = {one["technique"]: one["reason"] for one in plan.result["omitted"]}
    assert reasons[DECOMPOSE].startswith("No layer of it can be replaced by smaller factors: only: it is a convolution")


@pytest.mark.nightly
def test_a_decomposed_and_quantized_candidate_is_judged(door: Door):
    model, data = door.model(RESNET), door.data(FASHION, CLASSES)
    smaller = Constraints(max_metric_drop_points=10.0, min_size_reduction=5.0)  # Than 8 bits alone can make it.
    criteria = quick(DECOMPOSE, STATIC, constraints=smaller, budget=Budget(minutes=30.0, candidates=2))
    with shorter_sensitivity(2.0):
        session = door.verdict(model, data, criteria)
    assert session.outcome == Outcome.IMPROVED, told(session)
    (candidate,) = session.candidates.filter(status="selected")
    assert [link["technique"] for link in candidate.steps] == [DECOMPOSE, STATIC]
    found = session.steps.filter(kind=StepKind.OPTIMIZE, technique=DECOMPOSE).last().result
    assert found["evidence"]["macs_removed"] >= candidate.steps[0]["parameters"]["removed"] - 0.005
    assert all(row["ms_after"] < row["ms_before"] for row in found["evidence"]["ranks"])
    assert found["parameters"]["ranks"], "a recipe repeats what was found"


def test_a_pruned_network_is_decomposed_and_quantized_as_one_candidate(door: Door):
    model, data = door.model(RESNET), door.data(FASHION, CLASSES)
    preview = door.preview(model, data, quick(PRUNE, DECOMPOSE, STATIC, budget=Budget(minutes=30.0, candidates=4)))
    chains = [[link["technique"] for link in one["steps"]] for one in preview["plan"]["candidates"]]
    assert [PRUNE, DECOMPOSE, STATIC] in chains


@pytest.mark.nightly
def test_a_chain_that_a_member_adds_is_decomposed_trained_again_and_quantized(door: Door):
    """Plans train only what they have pruned: whether it is worth the minutes here, a member decides."""
    # Without the inputs' covariance it loses many points, so that there is something to win back.
    plain = {"removed": 0.75, "form": "channel", "weighted": False, "refit": False, "timed": False}
    links = ((DECOMPOSE, plain), (RECOVER, {"steps": 100}), (STATIC, {}))
    chain = tuple(technique for technique, _ in links)
    model, data = door.model(RESNET), door.data(FASHION, {**CLASSES, "training_share": 0.5})
    criteria = quick(*chain, budget=Budget(minutes=30.0, candidates=1)).model_dump(mode="json")
    added = [{"technique": technique, "parameters": parameters} for technique, parameters in links]
    asked = {"version": model.pk, "dataset": data.pk, "criteria": criteria, "seed": 7, "edits": {"added": [added]}}
    with shorter_sensitivity(2.0):
        session = OptimizationSession.objects.get(pk=door.post("sessions", asked)["id"])
        crank.turn_until_quiet(limit=200)
    session.refresh_from_db()
    assert session.outcome == Outcome.IMPROVED, told(session)
    (candidate,) = session.candidates.filter(status="selected")
    assert tuple(link["technique"] for link in candidate.steps) == chain
    step = session.steps.get(kind=StepKind.OPTIMIZE, technique=RECOVER)
    assert step.parents["teacher"] == "original"
    trained = step.result["evidence"]
    assert trained["held_out_loss_after"] < trained["held_out_loss_before"]
