"""A layer made fragile on purpose: the session finds it by its sensitivity and keeps it in float."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, numpy_helper

from apps.agents.contracts.criteria import Constraints, Criteria
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.state import CandidateStatus, Outcome
from tests.sessions.conftest import IMAGES, SAMPLES, FirstImages, RunSession, profile

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

EXAMPLES = 2000
BREAKS, HURTS = 2000.0, 140.0
"""How much louder a channel is: the model collapses in 8 bits, or it loses a few points."""


@dataclass(frozen=True)
class Fragile:
    """A model that computes what the sample computes, and the names of its two fragile layers."""

    model: Path
    layers: frozenset[str]


def make_fragile(folder: Path, louder: float) -> Fragile:
    """Let one channel between two convolutions of the residual sample speak louder, and the second listen less.

    A ReLU keeps positive factors, so the function stays the same; but the other channels of that tensor share an 8-bit
    grid with the loud one and are rounded to little or nothing.
    """
    model = onnx.load(SAMPLES / "fashion_resnet.onnx")
    first, second = next(_pairs(model))
    for name, axis, factor in (
        (first.input[1], 0, louder),
        (first.input[2], 0, louder),
        (second.input[1], 1, 1 / louder),
    ):
        _scale(model, name, axis, factor)
    onnx.save(model, folder / "model.onnx")
    return Fragile(folder / "model.onnx", frozenset({first.name, second.name}))


def _pairs(model: ModelProto) -> Iterator[tuple[NodeProto, NodeProto]]:
    """Convolutions with a bias and the one that alone reads their ReLU, after the first third of the graph."""
    readers: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in model.graph.node[len(model.graph.node) // 3 :]:
        if node.op_type != "Conv" or len(node.input) < 3:
            continue
        for relu in readers[node.output[0]]:
            after = readers.get(relu.output[0], [])
            if relu.op_type == "Relu" and len(after) == 1 and after[0].op_type == "Conv":
                yield node, after[0]


def _scale(model: ModelProto, name: str, axis: int, factor: float) -> None:
    """Multiply channel 0 along `axis` of the stored tensor `name`."""
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    array = numpy_helper.to_array(tensor).copy()
    np.moveaxis(array, axis, 0)[0] *= factor
    tensor.CopyFrom(numpy_helper.from_array(array, name))


def only_static(limit_points: float) -> Criteria:
    """ "Fastest" with static int8 alone and this limit on the loss."""
    limits = Constraints(max_metric_drop_points=limit_points, min_speedup=1.1)
    allowed = ("onnx-graph", "onnx-static-int8")
    return profile("fastest", candidates=8, minutes=3).model_copy(
        update={"allowed_techniques": allowed, "constraints": limits}
    )


def layers_in_float(artifact: Path) -> set[str]:
    """Convolutions whose weight is a stored float32 tensor."""
    graph = onnx.load(artifact).graph
    floats = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    return {node.name for node in graph.node if node.op_type == "Conv" and node.input[1] in floats}


@pytest.mark.parametrize("louder", [BREAKS, HURTS])
def test_the_fragile_model_computes_what_the_sample_computes(tmp_path: Path, louder: float) -> None:
    fragile = make_fragile(tmp_path, louder)
    images = np.load(IMAGES)["image"][:64].astype(np.float32)
    outputs = [
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"image": images})[0]
        for path in (SAMPLES / "fashion_resnet.onnx", fragile.model)
    ]

    np.testing.assert_allclose(*outputs, atol=0.05)


@pytest.mark.nightly
def test_layers_that_would_break_the_model_stay_in_float_from_the_start(
    run_session: RunSession, images: FirstImages, tmp_path: Path
) -> None:
    fragile = make_fragile(tmp_path, BREAKS)

    finished = run_session(fragile.model, images(EXAMPLES), only_static(1.0))

    assert finished.verdict.outcome is Outcome.IMPROVED
    assert finished.winner.verdict is Holds.HOLDS
    assert finished.winner.latency.speedup.value >= 1.1
    assert layers_in_float(finished.artifact) == fragile.layers
    everything = next(o for o in finished.plan.omitted if re.search("uint8, weights int8.*; every operator", o.title))
    assert "Predicted to lose about 60 points" in everything.reason
    assert "quantizing Conv (" in everything.reason


@pytest.mark.nightly
def test_layers_that_cost_too_much_are_found_by_repairing(
    run_session: RunSession, images: FirstImages, tmp_path: Path
) -> None:
    fragile = make_fragile(tmp_path, HURTS)

    finished = run_session(fragile.model, images(EXAMPLES), only_static(0.5))

    root = finished.candidate("c01")
    assert root.status is CandidateStatus.REJECTED
    assert "fell by" in root.reason or "points lower" in root.reason
    assert finished.verdict.outcome is Outcome.IMPROVED
    won = finished.candidate(finished.verdict.candidate or "")
    assert won.key.startswith("c01r")
    assert won.reason.startswith("Judged on ")
    assert "It meets every constraint" in won.reason or "It violates no constraint" in won.reason
    assert f"repaired/{won.key}" in {event.key for event in finished.events}
    assert layers_in_float(finished.artifact) & fragile.layers
    assert len(layers_in_float(finished.artifact)) <= 3
