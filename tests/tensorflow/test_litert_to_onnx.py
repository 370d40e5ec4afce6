"""From TensorFlow Lite to ONNX: inputs and outputs keep the names of the signature, whatever the tensors are called."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from apps.agents.backends.litert.engine import LiteRtEngine
from apps.agents.backends.tensorflow.onnx_export import from_tflite, tidy
from apps.agents.contracts.criteria import Target
from tests.agents.litert_files import Function, litert_file

VECTOR = tf.TensorSpec([None, 3], tf.float32, name="x")


def converted(body: Callable[..., dict[str, Any]]) -> bytes:
    module = tf.Module()
    function = tf.function(body, input_signature=[VECTOR])
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], module).convert())


def looped(x: Any) -> dict[str, Any]:
    _, total = tf.while_loop(lambda step, _: step < 3, lambda step, total: (step + 1, total + tf.sin(x)), (0, x))
    return {"y": total}


def several_loops() -> bytes:
    """Two signatures, each of which calls subgraphs."""
    module = tf.Module()
    module.up = tf.function(looped, input_signature=[VECTOR])
    module.down = tf.function(lambda x: looped(-x), input_signature=[VECTOR])
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"up": module.up, "down": module.down})
        return bytes(tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["up", "down"]).convert())


FILES: dict[str, Callable[[], tuple[bytes, str | None]]] = {
    "names that other tensors bear": lambda: (litert_file(Function("serving_default", seed=1)), None),
    "one function of several": lambda: (litert_file(Function("a"), Function("b", "left", "right", 2)), "b"),
    "no signature": lambda: (litert_file(Function(None, seed=1)), None),
    "two names of one output": lambda: (converted(lambda x: dict.fromkeys(("first", "second"), tf.nn.relu(x))), None),
    "an output that is the input": lambda: (converted(lambda x: {"same": x, "twice": x * 2.0}), None),
    "one of several that call others": lambda: (several_loops(), "down"),
    "a loop that reads what is renamed": lambda: (converted(looped), None),
}


@pytest.mark.parametrize("kind", FILES)
def test_the_onnx_has_the_same_interface_and_outputs(kind: str, tmp_path: Path) -> None:
    content, signature = FILES[kind]()
    (tmp_path / "model.tflite").write_bytes(content)
    engine = LiteRtEngine(tmp_path / "model.tflite", tmp_path, signature)
    (takes,) = engine.summary.inputs
    feeds = {takes.name: np.random.default_rng(0).standard_normal((2, takes.shape[1])).astype(np.float32)}
    session = onnxruntime.InferenceSession(tidy(from_tflite(engine), engine.summary).SerializeToString())

    assert [one.name for one in session.get_inputs()] == [takes.name]
    assert [one.name for one in session.get_outputs()] == [spec.name for spec in engine.summary.outputs]
    if kind == "one of several that call others":
        np.testing.assert_allclose(session.run(None, feeds)[0], looped(-feeds["x"])["y"], rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(session.run(None, feeds), engine.session(Target())(feeds), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
