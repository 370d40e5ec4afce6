"""Inputs that are not one row an example along the first axis: where examples stand, and what all of them share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.datasets import InputReadingUnknown, InputShape, InputUnfilled
from apps.agents.contracts.reports.model import ModelSummary, TensorSpec
from apps.agents.datasets.dataset_fit import check_against
from apps.agents.datasets.layout import Layout
from apps.agents.datasets.loading import Dataset, load_dataset
from apps.agents.files.dataset_headers import summarize_arrays
from apps.agents.files.npz_headers import array_headers
from lathe.testing.data_sets import npz
from tests.agents import batches

X = batches.drawn(40, 5, 8)
Shape = tuple[int | str | None, ...]


def tensor(name: str, *shape: int | str | None, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)


def read(folder: Path, inputs: list[TensorSpec], said: dict[str, dict[str, object]], **arrays: np.ndarray) -> Dataset:
    """The data set of `x` and more arrays, bound to `inputs`, after all that is asked before a session."""
    path = folder / "data.npz"
    path.write_bytes(npz(**{"x": X, **arrays}))
    spec = DatasetSpec(kind="npz", task="fidelity", inputs=said)
    output = tensor("y", "batch", 3)
    model = ModelSummary(
        format="onnx",
        producer="",
        opset=17,
        inputs=tuple(inputs),
        outputs=(output,),
        parameters=1,
        size_bytes=1,
        operators={},
    )
    check_against(model, summarize_arrays(array_headers(path), spec, 1), spec)
    return load_dataset(path, spec, inputs, seed=1)


STATE = tensor("state", 2, "b", 4)
RATE = tensor("rate", dtype="int64")
AUDIO = tensor("x", "b", 5, 8)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_state_has_a_place_for_each_example_and_a_rate_is_one_number(tmp_path: Path, rows: int) -> None:
    said = {"state": {"constant": 0.5, "batch_axis": 1}, "rate": {"constant": 8000}}
    dataset = read(tmp_path, [AUDIO, STATE, RATE], said)
    every = [next(iter(dataset.calibration(rows, rows))), next(iter(dataset.evaluation(rows)))[0], dataset.first(rows)]
    for feeds in every:
        assert {name: array.shape for name, array in feeds.items()} == {
            "x": (rows, 5, 8),
            "state": (2, rows, 4),
            "rate": (),
        }
        assert (feeds["rate"].dtype, int(feeds["rate"]), feeds["state"].dtype) == (np.int64, 8000, np.float32)
        assert np.all(feeds["state"] == 0.5)
    assert dataset.layout.rows(every[0]) == rows
    assert dataset.layout.fixed_batch([AUDIO, STATE, RATE]) is None


def test_a_state_for_one_example_makes_batches_of_one(tmp_path: Path) -> None:
    said = {"state": {"constant": 0, "batch_axis": 1}}
    dataset = read(tmp_path, [AUDIO, tensor("state", 2, 1, 4)], said)
    assert dataset.layout.fixed_batch([binding.wanted for binding in dataset.bindings]) == 1
    assert dataset.first(3)["state"].shape == (2, 3, 4)
    assert dataset.layout.take(dataset.first(3), [2])["state"].shape == (2, 1, 4)


def test_the_only_free_axis_of_a_constant_is_the_examples(tmp_path: Path) -> None:
    said = {"state": {"constant": 0}, "rate": {"constant": 8000}}
    assert read(tmp_path, [AUDIO, STATE, RATE], said).first(3)["state"].shape == (2, 3, 4)


@pytest.mark.parametrize("shape", [(2, 4), (2, 1, 4)])
def test_an_array_of_the_file_is_repeated_for_each_example(tmp_path: Path, shape: tuple[int, ...]) -> None:
    first = batches.drawn(*shape, seed=3)
    said = {"state": {"array": "first", "batch_axis": 1}, "rate": {"constant": 1}}
    feeds = read(tmp_path, [AUDIO, STATE, RATE], said, first=first).first(3)
    assert np.array_equal(feeds["state"], np.repeat(first.reshape(2, 1, 4), 3, axis=1))


def test_a_table_of_the_file_that_all_examples_share_stays_as_it_is(tmp_path: Path) -> None:
    table = batches.drawn(7, 4)
    feeds = read(tmp_path, [AUDIO, tensor("table", 7, 4)], {"table": {"array": "table"}}, table=table).first(3)
    assert np.array_equal(feeds["table"], table)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        (("batch", "seq", 8), 0),
        (("seq", "batch", 8), 1),
        (("seq", "N", 8), 1),
        (("seq", 1, 8), 1),
        ((5, None, 8), 0),
        ((5, 8, "clips"), 2),
        ((None, None, 8), 0),
        ((1, 5, 8), 0),
    ],
)
def test_names_and_lengths_of_axes_tell_where_examples_stand(tmp_path: Path, shape: Shape, axis: int) -> None:
    dataset = read(tmp_path, [tensor("x", *shape)], {})
    assert dataset.layout.axis("x") == axis
    feeds = dataset.first(2)
    assert np.array_equal(np.moveaxis(feeds["x"], axis, 0), X[dataset.evaluation_indices[:2]])
    assert (len(dataset.notes) == 1) is (axis > 0)


def test_what_the_member_says_of_an_axis_holds(tmp_path: Path) -> None:
    assert read(tmp_path, [tensor("x", "a", "b", 8)], {"x": {"batch_axis": 0}}).layout.axis("x") == 0
    assert read(tmp_path, [tensor("x", 5, 8, None)], {"x": {"batch_axis": 2}}).first(3)["x"].shape == (5, 8, 3)
    with pytest.raises(InputShape):
        read(tmp_path, [tensor("x", "a", "b", 7)], {"x": {"batch_axis": 1}})


@pytest.mark.parametrize(
    ("wanted", "said", "why"),
    [
        (STATE, {"constant": 0, "batch_axis": 3}, "not have the axis 3"),
        (tensor("state", "a", "b", 4), {"constant": 0}, "which of its free axes"),
        (tensor("state", "a", "b", 4), {"constant": 0, "batch_axis": 1}, "length of its axis 0"),
        (tensor("state", dtype="int64"), {"constant": 0.5}, "not a whole number"),
        (tensor("state", dtype="uint8"), {"constant": -1}, "negative"),
        (tensor("state", dtype="string"), {"constant": 1}, "texts"),
        (STATE, {"array": "missing"}, "not contain the array 'missing'"),
        (STATE, {"array": "wide"}, "axis 2 must be 4"),
        (STATE, {"array": "flat"}, "the input has 3 axes"),
        (STATE, {"array": "many"}, "one entry along its batch axis 1"),
        (tensor("state", 2, "b", 4, dtype="int64"), {"array": "many"}, "converted"),
    ],
)
def test_what_cannot_fill_an_input_is_told(
    tmp_path: Path, wanted: TensorSpec, said: dict[str, object], why: str
) -> None:
    arrays = {"wide": np.zeros((2, 5)), "flat": np.zeros(4), "many": np.zeros((2, 3, 4))}
    with pytest.raises((InputUnfilled, InputShape), match=why):
        shared = {str(said["array"]): arrays[str(said["array"])]} if said.get("array") in arrays else {}
        read(tmp_path, [AUDIO, wanted], {"state": said}, **shared).first(2)


def test_an_input_that_the_model_has_not_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputReadingUnknown, match="'stat'"):
        read(tmp_path, [AUDIO], {"stat": {"constant": 0}})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"inputs": {"s": {"constant": 1, "array": "a"}}}, "not with both"),
        ({"inputs": {"s": {"array": "y"}}}, "holds the labels"),
        ({"kind": "table", "inputs": {"s": {"array": "a"}}}, "goes with kind npz"),
        ({"kind": "text", "task": "fidelity", "inputs": {"s": {"constant": 1}}}, "the tokenizer fills"),
        ({"inputs": {"s": {"batch_axis": -1}}}, "greater than or equal to 0"),
        ({"inputs": {"s": {"constant": float("inf")}}}, "finite"),
    ],
)
def test_readings_that_make_no_sense_are_refused(change: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        DatasetSpec.model_validate({"kind": "npz", "task": "regression", **change})


def test_a_spec_of_before_reads_as_it_did() -> None:
    spec = DatasetSpec.model_validate({"kind": "npz", "task": "fidelity"})
    assert spec.inputs == {}
    found = spec.laid_out({"x": 1})
    assert found.inputs["x"].batch_axis == 1
    assert found.laid_out({"x": 2}) == found


@given(rows=st.integers(1, 6), axis=st.integers(0, 2), start=st.integers(0, 5))
def test_examples_are_taken_wherever_they_stand(rows: int, axis: int, start: int) -> None:
    layout = Layout({"x": axis, "all": None})
    by_example = batches.drawn(rows, 3, 4)
    feeds = {"x": np.moveaxis(by_example, 0, axis), "all": np.ones(9), "plain": by_example}
    chosen = [start % rows, 0]
    taken = layout.take(feeds, chosen)
    assert layout.rows(feeds) == rows
    assert np.array_equal(np.moveaxis(taken["x"], axis, 0), by_example[chosen])
    assert np.array_equal(taken["plain"], by_example[chosen])
    assert len(taken["all"]) == 9
