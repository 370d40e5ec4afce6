"""Axes that a file leaves open: those that the weights fix are found and said, the others stay free."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from apps.agents.backends.onnx import axes
from apps.agents.backends.onnx.inspection import inspect
from apps.agents.contracts.reports.model import ModelSummary
from tests.agents import graphs

Shape = tuple[int | str | None, ...]
CONV = helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1] * 4)
HALVING = helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1] * 4, strides=[2, 2])
POOLED = [helper.make_node("GlobalAveragePool", ["c"], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]
FLAT = [helper.make_node("Flatten", ["c"], ["f"]), helper.make_node("MatMul", ["f", "k"], ["y"])]


def of(*shape: int) -> NDArray[np.float32]:
    return np.zeros(shape, np.float32)


def network(nodes: Sequence[NodeProto], shape: Shape, *, rank: int = 2, **weights: NDArray[np.generic]) -> ModelProto:
    """One input x and one output y of `rank` axes, the first of them the input's."""
    outputs = [graphs.value("y", shape[0], *[None] * (rank - 1))]
    return graphs.model_of(nodes, [graphs.value("x", *shape)], outputs, dict(weights))


def inspected(tmp_path: Path, model: ModelProto) -> ModelSummary:
    return inspect(graphs.save(model, tmp_path / "model.onnx"), tmp_path)


def rows_of(length: int, *, constant: bool) -> list[NodeProto]:
    """A view as PyTorch exports it, [-1, length], its target stored or a `Constant`."""
    target = numpy_helper.from_array(np.array([-1, length], np.int64))
    made = [helper.make_node("Constant", [], ["target"], value=target)] if constant else []
    return [*made, helper.make_node("Reshape", ["c", "target"], ["f"]), helper.make_node("MatMul", ["f", "k"], ["y"])]


TARGET = {"target": np.array([-1, 3136], np.int64)}
NHWC = [helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]), helper.make_node("Conv", ["t", "w"], ["c"])]
PATCHES = [
    helper.make_node("Conv", ["x", "w"], ["c"], strides=[16, 16]),
    helper.make_node("Reshape", ["c", "target"], ["f"]),
    helper.make_node("Add", ["f", "positions"], ["y"]),
]
POSITIONS = {"positions": of(1, 12, 196), "target": np.array([0, 12, -1], np.int64)}
LSTM = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=4)

FIXED: dict[str, tuple[ModelProto, Shape]] = {
    "flattened": (network([HALVING, *FLAT], ("b", 1, "h", "w"), w=of(4, 1, 3, 3), k=of(784, 5)), ("b", 1, 28, 28)),
    "unnamed": (network([CONV, *FLAT], ("b", 1, None, None), w=of(4, 1, 3, 3), k=of(4096, 5)), ("b", 1, 32, 32)),
    "viewed": (
        network(
            [HALVING, *rows_of(3136, constant=False)], ("b", 1, "h", "w"), w=of(16, 1, 3, 3), k=of(3136, 5), **TARGET
        ),
        ("b", 1, 28, 28),
    ),
    "viewed by a constant": (
        network([HALVING, *rows_of(3136, constant=True)], ("b", 1, "h", "w"), w=of(16, 1, 3, 3), k=of(3136, 5)),
        ("b", 1, 28, 28),
    ),
    "channels": (network([CONV, *POOLED], ("b", "channels", "h", "w"), w=of(4, 3, 3, 3)), ("b", 3, "h", "w")),
    "channels last": (network([*NHWC, *POOLED], ("b", "h", "w", "c"), w=of(4, 3, 3, 3)), ("b", "h", "w", 3)),
    "patches": (network(PATCHES, ("b", "c", "h", "w"), rank=3, w=of(12, 3, 16, 16), **POSITIONS), ("b", 3, 224, 224)),
    "features": (network([helper.make_node("MatMul", ["x", "k"], ["y"])], ("b", "features"), k=of(20, 4)), ("b", 20)),
    "recurrent": (network([LSTM], ("s", "b", "features"), rank=4, w=of(1, 16, 7), r=of(1, 16, 4)), ("s", "b", 7)),
    "positions": (
        network([helper.make_node("Add", ["x", "positions"], ["y"])], ("b", "s", 8), rank=3, positions=of(1, 40, 8)),
        ("b", 40, 8),
    ),
}
MERGED = [
    helper.make_node("Reshape", ["x", "rows"], ["r"]),
    helper.make_node("MatMul", ["r", "k"], ["m"]),
    helper.make_node("Reshape", ["m", "back"], ["y"]),
]
ROWS = {"rows": np.array([-1, 64], np.int64), "back": np.array([2, -1, 8], np.int64)}
FREE: dict[str, ModelProto] = {
    "pooled": network([CONV, *POOLED], ("b", 3, "h", "w"), w=of(4, 3, 3, 3)),
    "batch alone": network([CONV, *POOLED], ("b", 3, 8, 8), w=of(4, 3, 3, 3)),
    "tokens": network([helper.make_node("MatMul", ["x", "k"], ["y"])], ("b", "s", 8), rank=3, k=of(8, 8)),
    "tokens among the rows": network(MERGED, ("b", "s", 64), rank=3, k=of(64, 8), **ROWS),
    "repeated": network([helper.make_node("Add", ["x", "bias"], ["y"])], ("b", "s", 1), rank=3, bias=of(5)),
}


@pytest.mark.parametrize("kind", FIXED)
def test_axes_that_weights_fix_are_found_and_said(tmp_path: Path, kind: str) -> None:
    model, wanted = FIXED[kind]
    summary = inspected(tmp_path, model)
    assert summary.inputs[0].shape == wanted
    assert any(str(summary.inputs[0]) in note for note in summary.notes)


@pytest.mark.parametrize("kind", FREE)
def test_axes_that_take_any_length_stay_free(tmp_path: Path, kind: str) -> None:
    model = FREE[kind]
    shape = model.graph.input[0].type.tensor_type.shape.dim
    summary = inspected(tmp_path, model)
    assert summary.inputs[0].shape == tuple(axis.dim_param or axis.dim_value for axis in shape)
    assert summary.notes == ()


def test_an_axis_of_one_name_is_fixed_wherever_the_name_stands(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["a", "k"], ["p"]), helper.make_node("Mul", ["a", "b"], ["q"])]
    inputs = [graphs.value("a", "n", "f"), graphs.value("b", "n", "f")]
    model = graphs.model_of(nodes, inputs, [graphs.value("p", "n", 4), graphs.value("q", "n", "f")], {"k": of(20, 4)})
    summary = inspected(tmp_path, model)
    assert [spec.shape for spec in (*summary.inputs, summary.outputs[1])] == [("n", 20)] * 3


def test_that_only_some_sizes_fit_is_said_where_they_are_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 by 98 is no square, and its product has many factors."""
    monkeypatch.setattr(axes, "BUDGET_S", 0.2)
    model = network([CONV, *FLAT], ("b", 1, "bands", "frames"), w=of(8, 1, 3, 3), k=of(8 * 40 * 98, 4))
    summary = inspected(tmp_path, model)
    assert summary.inputs[0].shape == ("b", 1, "bands", "frames")
    assert any("axis 2 of x (bands), axis 3 of x (frames)" in note for note in summary.notes)
