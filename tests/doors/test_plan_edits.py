"""A plan that a member edits over the API, carried out: an added chain is tried, and its file keeps layers in float."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto

from apps.agents.contracts.criteria import Budget
from apps.agents.contracts.plan_edits import EditKind
from apps.agents.contracts.state import Plan, Status
from apps.models.storage import open_blob
from apps.optimization.models import OptimizationSession
from lathe.testing.data_sets import npz
from tests.door import API, Door, quick
from tests.optimization import crank

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
STATIC = "onnx-static-int8"


def test_an_added_chain_is_tried_and_its_file_keeps_the_chosen_layers_in_float(door: Door) -> None:
    """Sensitivity and time of the layers are then offered for the next session, which checks names against them."""
    version = door.model(SAMPLES / "fashion_resnet.onnx", "resnet.onnx")
    with np.load(SAMPLES / "fashion_mnist_test.npz") as data:
        some = npz(image=data["image"][:600], y=data["y"][:600])
    dataset = door.data(some, {"kind": "npz", "task": "classification"}, "test.npz")
    kept = [node.name for node in onnx.load(SAMPLES / "fashion_resnet.onnx").graph.node if node.op_type == "Conv"][:2]
    criteria = quick(STATIC, "onnx-graph", budget=Budget(minutes=5.0, candidates=1)).model_dump(mode="json")
    question = {"version": version.pk, "dataset": dataset.pk, "criteria": criteria, "seed": 7}
    added = [{"technique": STATIC, "parameters": {"activation_type": "int8", "per_channel": False}}]
    edits = {"added": [added], "removed": [[{"technique": "onnx-graph"}]], "kept_layers": [*kept, "/nowhere/Conv"]}
    made = door.post("sessions", {**question, "edits": edits})
    crank.turn_until_quiet()
    session = OptimizationSession.objects.get(pk=made["id"])

    step = session.steps.get(key="c01/optimize")
    assert step.status == Status.COMPLETED, step.error
    assert (step.technique, step.parameters["activation_type"]) == (STATIC, "int8")
    assert step.parameters["keep_float_nodes"] == kept
    plan = Plan.model_validate(session.plan)
    assert [(one.kind, one.applied) for one in plan.edits] == [
        (EditKind.REMOVED, True),
        (EditKind.ADDED, True),
        (EditKind.KEPT_LAYERS, False),
        (EditKind.KEPT_LAYERS, True),
    ]
    with open_blob(step.artifact) as file:
        model = onnx.load_model_from_string(file.read())
    assert in_float(model) == set(kept)

    recipe = door.client.get(f"{API}/sessions/{session.pk}/recipe/", {"step": step.key}).json()
    assert recipe["edits"]["kept_layers"] == edits["kept_layers"]
    assert recipe["steps"][-1]["parameters"]["keep_float_nodes"] == kept
    offered = door.post("sessions/preview", question, status=200)["layers"][0]["layers"]
    assert all(one["sqnr_db"] is not None or one["time_share"] is not None for one in offered if one["name"] in kept)
    refused = door.post("sessions", {**question, "edits": edits}, status=422)
    assert [one["code"] for one in refused["errors"]] == ["layer_unknown"]


def in_float(model: ModelProto) -> set[str]:
    """The names of the convolutions whose weights are stored in float."""
    floats = {one.name for one in model.graph.initializer if one.data_type == onnx.TensorProto.FLOAT}
    convolutions: list[NodeProto] = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) > 2
    return {node.name for node in convolutions if node.input[1] in floats}
