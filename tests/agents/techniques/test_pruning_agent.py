"""What every pruning does the same: it foretells its size, shows its effect, and refuses by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import (
    TechniqueInvalidOutput,
    TechniqueNoEffect,
    TechniqueQuantizedModel,
    TechniqueWithoutCalibration,
)
from apps.agents.techniques.base import Applied, Assignment
from apps.agents.techniques.catalogue import Expectation, Family, Risk, TechniqueSpec
from apps.agents.techniques.pruning import PruningAgent
from apps.agents.techniques.reduction import Reduction, Workload
from tests.agents import graphs
from tests.agents.workshop import FIDELITY, Workshop

TOY = TechniqueSpec(
    name="toy-pruning",
    family=Family.PRUNING,
    label="Toy pruning",
    summary="For tests.",
    formats=("onnx",),
    output_format="onnx",
    requires=("onnx",),
    needs_calibration=True,
    expectation=Expectation(size_ratio=1.5, speedup=1.0, metric_drop_points=0.0, risk=Risk.NONE),
    reference="none",
    implementation="tests.agents.techniques.test_pruning_agent:Toy",
)
WHOLE = Workload(macs=56, parameters=67, channels=8)


class Toy(PruningAgent):
    """Changes a name, and says that `left` is what it left."""

    def __init__(self, left: Workload, fault: str | None = None) -> None:
        self.left, self.fault = left, fault

    def forecast(self, assignment: Assignment) -> Reduction:
        return Reduction(WHOLE, self.left)

    def reduction(self, assignment: Assignment) -> Reduction:
        return Reduction(WHOLE, self.left)

    def pattern_fault(self, assignment: Assignment, artifact: Path) -> str | None:
        return self.fault

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        proto = onnx.load(str(assignment.model))
        proto.graph.node[0].name = "renamed"
        return Applied(graphs.save(proto, assignment.out / "model.onnx"))


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def _assignment(workshop: Workshop, proto: onnx.ModelProto, rows: int = 64) -> Assignment:
    model = graphs.save(proto, workshop.root / "model-in.onnx")
    examples = workshop.examples(x=graphs.rng().normal(size=(rows, 4)).astype(np.float32))
    return workshop.assignment(TOY, model, examples, FIDELITY)


def test_size_is_predicted_from_the_removed_parameters(workshop: Workshop):
    assignment = _assignment(workshop, graphs.perceptron())
    size = assignment.model.stat().st_size
    made = workshop.run(assignment, Toy(Workload(macs=28, parameters=35, channels=4)))
    assert workshop.told.metrics["predicted_size_ratio"] == pytest.approx(size / (size - 4 * 32))
    assert any("28 multiply" not in check and "50% removed" in check for check in made.result.checks)
    assert any("4 of 8 channels" in check for check in made.result.checks)


def test_pruning_that_removed_nothing_is_refused(workshop: Workshop):
    with pytest.raises(TechniqueNoEffect, match=r"67 of 67 parameters \(0% removed\)"):
        workshop.run(_assignment(workshop, graphs.perceptron()), Toy(WHOLE))


def test_an_artifact_without_the_promised_pattern_is_removed(workshop: Workshop):
    assignment = _assignment(workshop, graphs.perceptron())
    with pytest.raises(TechniqueInvalidOutput, match="layer first has no two zeros in four"):
        workshop.run(assignment, Toy(Workload(28, 35), "layer first has no two zeros in four"))
    assert list(assignment.out.iterdir()) == []


def test_a_quantized_model_is_refused_by_name(workshop: Workshop):
    weights = {"w": np.ones((4, 3), np.int8), "s": np.array(0.5, np.float32), "z": np.array(0, np.int8)}
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["f"], name="widen"),
        helper.make_node("MatMul", ["x", "f"], ["y"], name="product"),
    ]
    proto = graphs.model_of(nodes, [graphs.value("x", "N", 4)], [graphs.value("y", "N", 3)], weights)
    with pytest.raises(TechniqueQuantizedModel, match="weights only: 1 DequantizeLinear"):
        workshop.run(_assignment(workshop, proto), Toy(Workload(28, 35)))


def test_a_data_set_without_calibration_examples_is_refused_by_name(workshop: Workshop):
    assignment = _assignment(workshop, graphs.perceptron(), rows=4)
    with pytest.raises(TechniqueWithoutCalibration, match="sets none apart"):
        workshop.run(assignment, Toy(Workload(28, 35)))
