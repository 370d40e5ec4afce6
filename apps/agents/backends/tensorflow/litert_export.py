"""Export to LiteRT: the same float network as a `.tflite`, which every technique for LiteRT starts from.

TensorFlow's converter takes the frozen graph; its outputs are then compared with the original's on the calibration
examples, by the check that every technique passes. See https://ai.google.dev/edge/litert/conversion/tensorflow/overview.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from apps.agents.backends.tensorflow.freezing import SIGNATURE, write_frozen
from apps.agents.backends.tensorflow.technique import TensorFlowExport, library_words
from apps.agents.context import Context
from apps.agents.optimization import Assignment
from apps.agents.reports import ModelSummary

ARTIFACT = "model.tflite"
_IDENTIFIER = b"TFL3"


class LiteRtExport(TensorFlowExport):
    """Hands the frozen graph to TensorFlow's converter."""

    def apply(self, assignment: Assignment, context: Context) -> Path:
        model = self.opened(assignment)
        folder = Path(tempfile.mkdtemp(prefix="frozen-", dir=assignment.scratch))
        with library_words(assignment.spec.label, reason_of):
            context.progress(0.1, "making constants of the weights")
            write_frozen(model, folder)
            context.progress(0.4, "converting")
            converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[SIGNATURE])
            converted = in_order(converter.convert(), model.summary)
        target = assignment.out / ARTIFACT
        target.write_bytes(converted)
        return target

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        """What it has become."""
        return f"It is a TensorFlow Lite model of {sum(after.operators.values())} operators in float32."


def in_order(content: bytes, summary: ModelSummary) -> bytes:
    """A converted model whose signature lists inputs and outputs as the original does: the converter sorts them."""
    model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    signature = model.signatureDefs[0]
    signature.inputs = _sorted(signature.inputs, [spec.name for spec in summary.inputs])
    signature.outputs = _sorted(signature.outputs, [spec.name for spec in summary.outputs])
    return _packed(model)


def _sorted(ports: list[Any], names: list[str]) -> list[Any]:
    return sorted(ports, key=lambda port: names.index(port.name.decode()))


def _packed(model: Any) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def reason_of(error: Exception) -> str:
    """What the converter says, without its traces: which operators it has no counterpart for, above all."""
    text = " ".join(str(error).split())
    unknown = sorted(set(re.findall(r"'?(tf\.\w+)'? op is neither a custom op nor a flex op", text)))
    if unknown:
        return f"LiteRT has no operator for {', '.join(unknown)}"
    return f"{type(error).__name__}: {text[:300]}".rstrip(". ")
