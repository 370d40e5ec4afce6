"""Examples pass through original and candidate in the batches that count, whatever else the models give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.evaluation import OutputsDiffer, OutputUnfit
from apps.agents.contracts.errors.techniques import TechniqueInvalidOutput
from apps.agents.datasets.loading import load_dataset
from apps.agents.evaluation.fidelity import FidelityMeter
from apps.agents.evaluation.paired_inference import Passing
from apps.agents.measuring.engine import WHOLE, open_engine
from lathe.testing.data_sets import npz
from tests.agents import batches
from tests.agents.workshop import FIDELITY, Workshop

FEATURES = batches.drawn(90, 16, seed=9)
IN, OUT = {"x": ["batch", 16]}, {"logits": ["batch", 6]}


def passing(
    folder: Path, original: bytes, candidate: bytes, *, at: int = 1, output: str | None = None
) -> tuple[Passing, FidelityMeter, tuple[str, ...]]:
    """After all test examples have gone through both."""
    engines = []
    for name, content in (("original", original), ("candidate", candidate)):
        (folder / f"{name}.onnx").write_bytes(content)
        engines.append(open_engine("onnx", folder / f"{name}.onnx", folder))
    (folder / "data.npz").write_bytes(npz(x=FEATURES))
    spec = DatasetSpec(kind="npz", task="fidelity", output=output)
    dataset = load_dataset(folder / "data.npz", spec, engines[0].summary.inputs, seed=1, scratch=folder)
    found = Passing.of(engines, dataset, Target(batch_size=at), 64)
    meter = FidelityMeter([spec.name for spec in engines[0].summary.outputs])
    for feeds, _ in dataset.evaluation(found.batch):
        both = found.outputs(feeds)
        assert len(found.judged(both[0])) == len(feeds["x"])
        meter.add(*both)
    return found, meter, found.compare_whole(meter, dataset)


def plain() -> bytes:
    return batches.graph(batches.layers(batches.head()), IN, OUT, batches.perceptron_weights())


def scaled_by_the_batch() -> bytes:
    """Right for one example, and smaller the more come along with it."""
    nodes = batches.layers(
        batches.head("h", "scores"),
        helper.make_node("ReduceSum", ["x"], ["none"], keepdims=0),
        helper.make_node("Shape", ["x"], ["count"], end=1),
        helper.make_node("Cast", ["count"], ["divisor"], to=1),
        helper.make_node("Div", ["scores", "divisor"], ["logits"]),
    )
    return batches.graph(nodes, IN, OUT, batches.perceptron_weights())


def with_boxes(limit: float, classes: int = 6) -> bytes:
    """Scores, and boxes by example of which there are as many as the whole batch makes."""
    nodes = batches.layers(
        batches.head(),
        helper.make_node("Greater", ["logits", "limit"], ["over"]),
        helper.make_node("Cast", ["over"], ["ones"], to=1),
        helper.make_node("ReduceSum", ["ones"], ["count"], keepdims=0),
        helper.make_node("Cast", ["count"], ["places"], to=7),
        helper.make_node("Unsqueeze", ["places", "front"], ["length"]),
        helper.make_node("Shape", ["x"], ["rows"], end=1),
        helper.make_node("Concat", ["rows", "length"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["boxes"]),
    )
    more = {"limit": np.array(limit, np.float32), "front": np.array([0], np.int64)}
    outputs: dict[str, batches.Axes] = {"logits": ["batch", classes], "boxes": ["batch", "found"]}
    return batches.graph(nodes, IN, outputs, batches.perceptron_weights(classes) | more)


@pytest.mark.parametrize("at", [1, 4, 32])
def test_where_the_batch_changes_the_result_the_targets_is_judged(tmp_path: Path, at: int) -> None:
    found, meter, notes = passing(tmp_path, plain(), scaled_by_the_batch(), at=at)
    assert found.portions == [at, at]
    assert f"target's batch size of {at}:" in notes[0]
    assert (meter.report(None).max_abs_error < 1e-5) is (at == 1)


def test_an_original_that_the_batch_changes_counts_as_well(tmp_path: Path) -> None:
    found, meter, _ = passing(tmp_path, scaled_by_the_batch(), plain())
    assert found.portions == [1, 1]
    assert meter.report(None).max_abs_error < 1e-5


def test_where_it_changes_nothing_examples_pass_side_by_side(tmp_path: Path) -> None:
    found, _, notes = passing(tmp_path, plain(), plain())
    assert (found.portions, found.batch, notes) == ([None, None], 64, ())


@pytest.mark.parametrize("batch", ["batch", 1])
def test_outputs_without_examples_are_compared_on_one_after_the_other(tmp_path: Path, batch: int | str) -> None:
    model = batches.with_odd_outputs(batch)
    found, meter, notes = passing(tmp_path, model, model)
    # Of one example at a time, what has one shape always is the example's own.
    assert found.axes == ([0, None, None, None] if batch == "batch" else [0, WHOLE, WHOLE, None])
    assert len(notes) == found.axes.count(None)
    assert all("compared on 48 examples run alone." in note for note in notes)
    assert meter.identical
    with pytest.raises(OutputUnfit, match="not have one entry per example"):
        passing(tmp_path, model, model, output="hits")


def test_scores_without_an_axis_of_examples_are_those_of_a_single_one(tmp_path: Path) -> None:
    nodes = batches.layers(batches.head("h", "scores"), helper.make_node("Squeeze", ["scores"], ["logits"]))
    model = batches.graph(nodes, {"x": [1, 16]}, {"logits": [6]}, batches.perceptron_weights())
    found, meter, _ = passing(tmp_path, model, model)
    assert found.axes == [WHOLE]
    assert meter.identical


def test_another_number_of_entries_is_counted_and_not_refused(tmp_path: Path) -> None:
    _, meter, notes = passing(tmp_path, with_boxes(0.3), with_boxes(0.6))
    assert "On 4" in notes[0] or "On 3" in notes[0]
    assert "shape differs" in notes[0]
    assert not meter.identical
    with pytest.raises(OutputsDiffer, match="boxes"):
        passing(tmp_path, with_boxes(0.3), with_boxes(0.6), output="boxes")


def test_noise_in_another_output_is_left_out(tmp_path: Path) -> None:
    _, meter, notes = passing(tmp_path, batches.noise_beside(), batches.noise_beside())
    assert meter.report(None).max_abs_error < 1e-5
    assert notes == ("The original gives different values in noise each time, so this is not compared.",)


# --- a technique's own check ------------------------------------------------------------------------------------------


def artifact(folder: Path, content: bytes) -> Path:
    (folder / "model.onnx").write_bytes(content)
    return folder / "model.onnx"


@pytest.mark.parametrize("model", [batches.noise_beside, batches.with_odd_outputs])
def test_a_technique_is_held_to_the_outputs_that_can_be_compared(tmp_path: Path, model) -> None:
    workshop = Workshop(tmp_path)
    data = workshop.examples(x=FEATURES)
    made = workshop.apply("onnx-dynamic-int8", artifact(tmp_path, model()), data, FIDELITY)
    assert "outputs are finite" in made.result.checks[2]


def test_the_judged_output_must_have_its_entries(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    data, model = workshop.examples(x=FEATURES), artifact(tmp_path, with_boxes(0.3, classes=2000))
    judged = FIDELITY.model_copy(update={"output": "boxes"})
    with pytest.raises(TechniqueInvalidOutput, match="'boxes' has the shape"):
        workshop.apply("onnx-dynamic-int8", model, data, judged)
    made = workshop.apply("onnx-dynamic-int8", model, data, FIDELITY)
    assert "boxes had a different number of entries" in made.result.checks[2]
