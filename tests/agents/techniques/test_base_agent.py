"""The template: its order, its checks, and that nothing is left behind when one fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from apps.agents.contracts.errors.techniques import (
    TechniqueInvalidOutput,
    TechniqueLibraryMissing,
    TechniqueNoEffect,
    TechniqueNotApplicable,
    TechniqueParameters,
    TechniqueUnknown,
)
from apps.agents.contracts.reports.model import ModelSummary, TensorSpec
from apps.agents.techniques.base import (
    Applied,
    Assignment,
    BaseOptimizationAgent,
    Context,
    Estimated,
    agent_for,
    spec_of,
)
from apps.agents.techniques.catalogue import Expectation, Family, Risk, TechniqueSpec
from apps.agents.techniques.interface import interface_difference
from tests.agents import graphs
from tests.agents.workshop import FIDELITY, Workshop

TOY = TechniqueSpec(
    name="toy",
    family=Family.QUANTIZATION,
    label="Toy",
    summary="For tests.",
    formats=("onnx",),
    output_format="onnx",
    requires=("onnx",),
    expectation=Expectation(size_ratio=1.5, speedup=1.0, metric_drop_points=0.0, risk=Risk.NONE),
    reference="none",
    implementation="tests.agents.techniques.test_base_agent:Toy",
)


class Toy(BaseOptimizationAgent):
    """Writes the model back after `change` has had its way with it, and remembers the order of its parts."""

    def __init__(self, change: str = "bias") -> None:
        self.change = change
        self.calls: list[str] = []

    def check(self, assignment: Assignment, context: Context) -> None:
        self.calls.append("check")
        super().check(assignment, context)

    def estimate(self, assignment: Assignment) -> Estimated:
        self.calls.append("estimate")
        return super().estimate(assignment)

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        self.calls.append("apply")
        context.progress(0.5, "halfway")
        target = assignment.out / "model.onnx"
        proto = onnx.load(str(assignment.model))
        if self.change == "garbage":
            target.write_bytes(b"this is no model")
            return Applied(target)
        if self.change == "crash":
            (assignment.out / "half.onnx").write_bytes(b"half")
            raise RuntimeError("broke in the middle")
        if self.change == "nan":
            _set(proto, "b2", np.full(3, np.nan, np.float32))
        if self.change == "rename":
            proto.graph.output[0].name = "z"
            proto.graph.node[-1].output[0] = "z"
        if self.change == "fixed":
            proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
        if self.change == "bias":
            proto.graph.node.append(onnx.helper.make_node("Identity", ["r"], ["unused"], name="more"))
        target.write_bytes(proto.SerializeToString())
        return Applied(target, {"change": self.change})


def _set(proto: onnx.ModelProto, name: str, array: np.ndarray) -> None:
    tensor = next(one for one in proto.graph.initializer if one.name == name)
    tensor.CopyFrom(numpy_helper.from_array(array, name))


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def assignment(workshop: Workshop, tmp_path: Path) -> Assignment:
    model = graphs.save(graphs.perceptron(), tmp_path / "perceptron.onnx")
    examples = workshop.examples(x=graphs.rng().normal(size=(64, 4)).astype(np.float32))
    return workshop.assignment(TOY, model, examples, FIDELITY)


def test_the_parts_run_in_order_and_progress_only_grows(workshop: Workshop, assignment: Assignment):
    toy = Toy()
    made = workshop.run(assignment, toy)
    assert toy.calls == ["check", "estimate", "apply"]
    assert workshop.told.fractions == sorted(workshop.told.fractions)
    assert workshop.told.fractions[-1] == 1.0
    assert workshop.told.metrics["predicted_size_ratio"] == 1.5
    assert made.result.technique == "toy"
    assert made.result.evidence == {"change": "bias"}
    assert len(made.result.digest) == 64
    assert made.result.libraries["onnx"]
    assert made.artifact.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("garbage", "ONNX"),
        ("nan", "NaN or infinite"),
        ("rename", "outputs are z: float32[N, 3]"),
        ("fixed", "input is x: float32[4, 4] instead of x: float32[N, 4]"),
    ],
)
def test_an_invalid_artifact_is_refused_and_removed(
    workshop: Workshop, assignment: Assignment, change: str, words: str
):
    with pytest.raises(TechniqueInvalidOutput, match=r".") as caught:
        workshop.run(assignment, Toy(change))
    assert words in caught.value.message
    assert list(assignment.out.iterdir()) == []


def test_an_artifact_that_is_the_input_again_has_no_effect(workshop: Workshop, assignment: Assignment):
    with pytest.raises(TechniqueNoEffect):
        workshop.run(assignment, Toy("nothing"))
    assert list(assignment.out.iterdir()) == []


def test_apply_finds_the_checkpoint_of_the_job_and_keeps_another(workshop: Workshop, assignment: Assignment):
    class Resuming(Toy):
        def apply(self, assignment: Assignment, context: Context) -> Applied:
            assert context.checkpoint is not None
            file = assignment.scratch / "state.bin"
            file.write_bytes(context.checkpoint.read_bytes() + b" and more")
            context.keep_checkpoint(file)
            return super().apply(assignment, context)

    workshop.told.checkpoint = workshop.root / "checkpoint"
    workshop.told.checkpoint.write_bytes(b"half")
    workshop.run(assignment, Resuming())
    assert workshop.told.kept == [b"half and more"]


def test_what_a_crash_left_is_removed(workshop: Workshop, assignment: Assignment):
    with pytest.raises(RuntimeError):
        workshop.run(assignment, Toy("crash"))
    assert list(assignment.out.iterdir()) == []


def test_outputs_that_are_not_finite_before_may_stay_so(workshop: Workshop, tmp_path: Path):
    proto = graphs.perceptron()
    _set(proto, "b2", np.full(3, np.inf, np.float32))
    model = graphs.save(proto, tmp_path / "infinite.onnx")
    examples = workshop.examples(x=np.ones((64, 4), np.float32))
    made = workshop.run(workshop.assignment(TOY, model, examples, FIDELITY), Toy())
    assert any("None of its outputs has finite floats" in check for check in made.result.checks)


# --- batches -------------------------------------------------------------------------------------------------------


def test_batches_get_smaller_when_memory_ran_out(workshop: Workshop, assignment: Assignment):
    sizes = {len(feeds["x"]) for feeds in assignment.batches(8)}
    smaller = workshop.assignment(TOY, assignment.model, workshop.root / "examples-1.npz", FIDELITY, batch_divisor=4)
    assert sizes == {8}
    assert {len(feeds["x"]) for feeds in smaller.batches(8)} == {2}


def test_a_model_with_a_fixed_batch_gets_full_batches_only(workshop: Workshop, tmp_path: Path):
    model = graphs.save(graphs.perceptron(batch=5), tmp_path / "five.onnx")
    examples = workshop.examples(x=np.ones((64, 4), np.float32))
    assignment = workshop.assignment(TOY, model, examples, FIDELITY)
    assert {len(feeds["x"]) for feeds in assignment.batches(12)} == {5}


def test_too_few_examples_for_a_fixed_batch_are_told(workshop: Workshop, tmp_path: Path):
    model = graphs.save(graphs.perceptron(batch=50), tmp_path / "fifty.onnx")
    examples = workshop.examples(x=np.ones((64, 4), np.float32))
    with pytest.raises(TechniqueNotApplicable, match="batches of 50"):
        list(workshop.assignment(TOY, model, examples, FIDELITY).batches(10))


# --- doors ---------------------------------------------------------------------------------------------------------


def test_an_unknown_technique_is_told_with_the_known_ones():
    with pytest.raises(TechniqueUnknown, match="onnx-static-int8"):
        spec_of("onnx-magic", {})


def test_a_wrong_parameter_is_told_with_what_is_right():
    with pytest.raises(TechniqueParameters, match="must be one of 'int8', 'uint8'"):
        spec_of("onnx-dynamic-int8", {"weight_type": "int7"})


def test_a_technique_without_its_library_is_told_by_name():
    with pytest.raises(TechniqueLibraryMissing, match="no-such-library"):
        agent_for(TOY.model_copy(update={"requires": ("no-such-library",)}))


def test_an_unknown_axis_of_an_output_may_become_known_and_no_other_may_change():
    def model(inputs: TensorSpec, outputs: TensorSpec) -> ModelSummary:
        return ModelSummary(
            format="onnx",
            producer="",
            opset=17,
            inputs=(inputs,),
            outputs=(outputs,),
            parameters=0,
            size_bytes=1,
            operators={},
        )

    free = TensorSpec(name="x", dtype="float32", shape=("N", 4))
    named = TensorSpec(name="x", dtype="float32", shape=("batch", 4))
    known = TensorSpec(name="x", dtype="float32", shape=(1, 4))
    wide = TensorSpec(name="x", dtype="float32", shape=("N", 5))
    half = TensorSpec(name="x", dtype="float16", shape=("N", 4))
    assert interface_difference(model(free, free), model(named, named)) is None
    assert interface_difference(model(free, free), model(free, known)) is None
    for changed in (known, wide, half):
        assert interface_difference(model(free, free), model(changed, free))
    assert interface_difference(model(free, free), model(free, wide))
    assert interface_difference(model(known, known), model(known, free))
