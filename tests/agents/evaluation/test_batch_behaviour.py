"""What running a few examples tells of a model: does it repeat itself, and does an example stand for itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.datasets import BatchAxisUnclear
from apps.agents.contracts.errors.evaluation import OutputUnfit
from apps.agents.contracts.errors.running import ModelNotDeterministic, ModelTrains
from apps.agents.datasets.loading import load_dataset
from apps.agents.evaluation.batch_behaviour import Behaviour, difference_db, examine
from apps.agents.measuring.engine import open_engine
from lathe.testing.data_sets import npz
from tests.agents import batches

FEATURES = batches.drawn(40, 16, seed=9)
STEPS = batches.drawn(40, 5, 8, seed=9, size=1.0)


def examined(folder: Path, model: bytes, x: np.ndarray = FEATURES, **spec: object) -> Behaviour:
    (folder / "model.onnx").write_bytes(model)
    (folder / "data.npz").write_bytes(npz(x=x))
    engine = open_engine("onnx", folder / "model.onnx", folder)
    read = DatasetSpec(kind="npz", task="fidelity", **spec)
    dataset = load_dataset(folder / "data.npz", read, engine.summary.inputs, seed=1, scratch=folder)
    return examine(engine.session(Target()), dataset, engine.summary)


@pytest.mark.parametrize(
    ("model", "operator"),
    [
        (batches.noisy, "RandomNormalLike"),
        (batches.training_dropout, "Dropout"),
        (batches.drawing_labels, "Multinomial"),
    ],
)
def test_a_model_that_does_not_repeat_itself_is_named_with_its_operator(tmp_path: Path, model, operator: str) -> None:
    with pytest.raises(ModelNotDeterministic, match=f"it has {operator}"):
        examined(tmp_path, model())


def test_noise_in_an_output_that_is_not_judged_is_a_note(tmp_path: Path) -> None:
    assert "different values in noise (it has RandomNormalLike)" in examined(tmp_path, batches.noise_beside()).notes[0]
    with pytest.raises(ModelNotDeterministic):
        examined(tmp_path, batches.noise_beside(), output="noise")


def test_a_norm_in_training_mode_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelTrains, match="BatchNormalization is in training mode"):
        examined(tmp_path, batches.training_norm())


def test_examples_that_change_each_other_are_noted(tmp_path: Path) -> None:
    (note,) = examined(tmp_path, batches.attending_over_the_batch()).notes
    assert "depends on the other examples in its batch: something in it, such as attention" in note


@pytest.mark.parametrize(
    "axes", [("seq", "batch", 8), ("time", "dim_1", 8), ("seq", 1, 8), (5, "batch", 8), (5, "?", 8)]
)
def test_examples_are_found_where_they_leave_each_other_alone(tmp_path: Path, axes: batches.Axes) -> None:
    out = (*axes[:2], 3)
    found = examined(tmp_path, batches.recurrent(axes, out), STEPS)
    # Names and lengths tell of most; only running it tells of a free axis without a name for the batch.
    assert found.batch_axes == ({"x": 1} if axes[1] in ("dim_1", "?") else {})
    assert all("along axis 1 of x" in note for note in found.notes)


@pytest.mark.parametrize("name", ["batch", "columns"])
def test_examples_may_be_columns(tmp_path: Path, name: str) -> None:
    nodes = [helper.make_node("MatMul", ["w", "x"], ["p"]), helper.make_node("Softmax", ["p"], ["y"], axis=0)]
    model = batches.graph(nodes, {"x": [16, name]}, {"y": [6, name]}, {"w": batches.drawn(6, 16, seed=1)})
    assert examined(tmp_path, model).batch_axes == ({} if name == "batch" else {"x": 1})


def test_an_axis_that_is_named_for_the_batch_and_is_not_is_found_as_well(tmp_path: Path) -> None:
    found = examined(tmp_path, batches.recurrent(("batch", "seq", 8), ("batch", "seq", 3)), STEPS)
    assert found.batch_axes == {"x": 1}


def test_what_the_member_says_is_not_looked_for(tmp_path: Path) -> None:
    free = batches.recurrent(("a", "b1", 8), ("a", "b1", 3))
    assert examined(tmp_path, free, STEPS, inputs={"x": {"batch_axis": 1}}).notes == ()
    (note,) = examined(tmp_path, free, STEPS, inputs={"x": {"batch_axis": 0}}).notes
    assert "depends on the other examples" in note


def test_a_judged_output_without_examples_is_refused(tmp_path: Path) -> None:
    model = batches.with_odd_outputs()
    assert examined(tmp_path, model).notes == ()
    for output in ("anchors", "loss", "hits"):
        with pytest.raises(OutputUnfit, match="not have one entry per example"):
            examined(tmp_path, model, output=output)


def test_a_model_of_one_example_at_a_time_is_looked_at_too(tmp_path: Path) -> None:
    assert examined(tmp_path, batches.with_odd_outputs(1)) == Behaviour()
    with pytest.raises(OutputUnfit, match="not have one entry per example"):
        examined(tmp_path, batches.with_odd_outputs(1), output="hits")


@pytest.mark.parametrize("lanes", [1, 3, "lanes"])
def test_a_state_comes_with_every_batch(tmp_path: Path, lanes: int | str) -> None:
    state = {"constant": 0, "batch_axis": 1}
    inputs = {"h0": state, "c0": state, "rate": {"constant": 16000}, "x": {"batch_axis": 1}}
    assert examined(tmp_path, batches.carrying_a_state(lanes), STEPS, inputs=inputs).batch_axes == {}


def test_two_axes_that_would_do_are_asked_about(tmp_path: Path) -> None:
    # Cumulated along the first axis; the other two are free and treated one by one.
    nodes = [
        helper.make_node("CumSum", ["x", "first"], ["sum"]),
        helper.make_node("Tanh", ["sum"], ["y"]),
    ]
    axes = ("a", "c", "d")
    model = batches.graph(nodes, {"x": axes}, {"y": axes}, {"first": np.array(0, np.int64)})
    with pytest.raises(BatchAxisUnclear, match="along the axes 1 and 2"):
        examined(tmp_path, model, STEPS)


def test_likeness_is_in_decibels() -> None:
    one = np.array([[3.0, 4.0]])
    assert difference_db(one, np.array([[3.05, 4.0]])) == pytest.approx(40)
    assert difference_db(one, one) == np.inf
    assert difference_db(one, one[:, :1]) == -np.inf
    assert difference_db(np.array([1, 2]), np.array([1, 3])) == -np.inf
