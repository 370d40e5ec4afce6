"""An original that fails on an example ends its session with that, and not with a verdict on its candidates."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from apps.agents.contracts.faults import Fault
from apps.agents.contracts.state import Status
from tests.door import Door, quick

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

WORDS = 10
EXAMPLES = 200


def tables() -> dict[str, NDArray[np.float32]]:
    """The weights of the model."""
    rng = np.random.default_rng(7)
    shapes = {"table": (WORDS, 16), "first": (16, 64), "second": (64, 3)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def lookup() -> bytes:
    """[N, 1] numbers of words → their rows of a table → MatMul (64) → MatMul → [N, 3]."""
    weights = tables()
    nodes = [
        helper.make_node("Gather", ["table", "words"], ["rows"], "look-up"),
        helper.make_node("Flatten", ["rows"], ["flat"], "flatten"),
        helper.make_node("MatMul", ["flat", "first"], ["hidden"], "product"),
        helper.make_node("MatMul", ["hidden", "second"], ["scores"], "scores"),
    ]
    graph = helper.make_graph(
        nodes,
        "lookup",
        [helper.make_tensor_value_info("words", TensorProto.INT64, ["N", 1])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def words(beyond: int) -> bytes:
    """Numbers of words and the model's answers, one `beyond` the table, where the analysis need not look."""
    numbers = np.random.default_rng(7).integers(0, WORDS, (EXAMPLES, 1))
    weights = tables()
    answers = (weights["table"] @ weights["first"] @ weights["second"]).argmax(1)[numbers[:, 0]]
    numbers[EXAMPLES // 2] = beyond
    sink = io.BytesIO()
    np.savez(sink, words=numbers, y=answers)
    return sink.getvalue()


def test_an_example_that_the_original_cannot_take_ends_the_session_with_its_own_code(door: Door) -> None:
    version = door.model(lookup(), "lookup.onnx")
    dataset = door.data(words(beyond=WORDS + 89), {"kind": "npz", "task": "classification"}, "words.npz")
    session = door.run(version, dataset, quick("onnx-dynamic-int8"))
    assert (session.status, session.error_code) == (Status.FAILED, "model.run_failed")
    failed = session.steps.get(status=Status.FAILED)
    assert failed.key == "analyse" or failed.fault == Fault.ORIGINAL
    assert not session.outcome
