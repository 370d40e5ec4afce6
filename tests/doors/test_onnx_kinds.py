"""Kinds of ONNX files that converters write, from the bytes of an upload to a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from apps.agents.contracts.state import Outcome
from lathe.testing.data_sets import npz
from tests.agents import graphs
from tests.door import Door, quick, told

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
COLOURS = ("blue", "green", "red")


def pipeline(*, string_labels: bool) -> ModelProto:
    """As scikit-learn's: colour (strings) and size → OneHotEncoder, Concat → two layers → label and probabilities."""
    random = graphs.rng()
    weights = {
        "flat": np.array([-1, 3], np.int64),
        "w1": random.normal(size=(5, 256)).astype(np.float32),
        "b1": random.normal(size=256).astype(np.float32),
        "w2": random.normal(size=(256, 3)).astype(np.float32),
        "b2": random.normal(size=3).astype(np.float32),
    }
    nodes: Sequence[NodeProto] = [
        helper.make_node("OneHotEncoder", ["colour"], ["hot"], domain="ai.onnx.ml", cats_strings=COLOURS),
        helper.make_node("Reshape", ["hot", "flat"], ["colours"]),
        helper.make_node("Concat", ["colours", "size"], ["x"], axis=1),
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["scores"], name="second"),
        helper.make_node("Softmax", ["scores"], ["probabilities"]),
        helper.make_node("ArgMax", ["scores"], ["label" if not string_labels else "best"], axis=1, keepdims=0),
    ]
    if string_labels:
        names = {"keys_int64s": [0, 1, 2], "values_strings": ["first", "second", "third"]}
        nodes = [*nodes, helper.make_node("LabelEncoder", ["best"], ["label"], domain="ai.onnx.ml", **names)]
    label = TensorProto.STRING if string_labels else TensorProto.INT64
    outputs = [graphs.value("label", "N", dtype=label), graphs.value("probabilities", "N", 3)]
    inputs = [graphs.value("colour", "N", 1, dtype=TensorProto.STRING), graphs.value("size", "N", 2)]
    model = graphs.model_of(nodes, inputs, outputs, weights, domains=["ai.onnx.ml"])
    model.opset_import[1].version = 3
    return model


def rows(examples: int = 120) -> dict[str, NDArray[Any]]:
    """Examples with what the pipeline answers."""
    random = graphs.rng()
    feeds = {
        "colour": np.array(COLOURS)[random.integers(0, 3, (examples, 1))],
        "size": random.normal(size=(examples, 2)).astype(np.float32),
    }
    session = onnxruntime.InferenceSession(pipeline(string_labels=False).SerializeToString())
    return {**feeds, "y": session.run(["probabilities"], feeds)[0].argmax(1)}


def test_a_pipeline_of_strings_comes_to_a_verdict(door: Door) -> None:
    """Nobody says which output is judged: the first is the class's name, so it is the probabilities."""
    version = door.model(pipeline(string_labels=True).SerializeToString(), "pipeline.onnx")
    dataset = door.data(npz(**rows()), {"kind": "npz", "task": "classification", "label": "y"}, "rows.npz")
    session = door.verdict(version, dataset, quick("onnx-dynamic-int8"))
    assert session.outcome == Outcome.IMPROVED, told(session)


def test_a_table_whose_columns_are_not_the_inputs_is_refused_in_words(door: Door) -> None:
    version = door.model(pipeline(string_labels=True).SerializeToString(), "pipeline.onnx")
    columns = rows()
    lines = ["colour,s1,s2,y"]
    for colour, size, y in zip(columns["colour"][:, 0], columns["size"], columns["y"], strict=True):
        lines.append(f"{colour},{size[0]:.4f},{size[1]:.4f},{y}")
    spec = {"kind": "table", "task": "classification", "label": "y"}
    dataset = door.data("\n".join(lines).encode(), spec, "rows.csv")
    answer = door.preview(version, dataset)
    assert answer["status_code"] == 422
    assert answer["code"] == "dataset.input_missing"


def half_precision() -> ModelProto:
    """Two convolutions in float16 that share a bias, in the newest set of operators, height and width named free."""
    random = graphs.rng()
    weights = {
        "w1": random.normal(size=(64, 3, 3, 3)).astype(np.float16),
        "w2": random.normal(size=(64, 64, 3, 3)).astype(np.float16),
        "b": random.normal(size=64).astype(np.float16),
        "head": random.normal(size=(64 * 64, 3)).astype(np.float16),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b"], ["c1"], name="first", pads=[1] * 4),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b"], ["c2"], name="second", pads=[1] * 4),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("Flatten", ["r2"], ["f"]),
        helper.make_node("MatMul", ["f", "head"], ["y"], name="head"),
    ]
    inputs = [graphs.value("x", "N", 3, "height", "width", dtype=TensorProto.FLOAT16)]
    outputs = [graphs.value("y", "N", 3, dtype=TensorProto.FLOAT16)]
    model = graphs.model_of(nodes, inputs, outputs, weights, opset=onnx.defs.onnx_opset_version())
    model.ir_version = onnx.IR_VERSION
    return model


@pytest.mark.nightly
def test_half_precision_in_the_newest_operators_with_open_axes_comes_to_8_bits(door: Door) -> None:
    version = door.model(half_precision().SerializeToString(), "half.onnx")
    assert version.metadata.summary.inputs[0].shape == ("N", 3, 8, 8)
    random = graphs.rng()
    x = random.normal(size=(96, 3, 8, 8)).astype(np.float32)
    dataset = door.data(npz(x=x), {"kind": "npz", "task": "fidelity"}, "pictures.npz")
    session = door.verdict(version, dataset, quick("onnx-static-int8"))
    assert session.outcome == Outcome.IMPROVED, told(session)
