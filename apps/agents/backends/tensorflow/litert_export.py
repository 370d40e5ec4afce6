"""Export to LiteRT: the same float network as a `.tflite`, the starting point of every technique for LiteRT.

TensorFlow's converter takes the frozen graph; its outputs are then compared with the original's on the calibration
examples, by the check that every technique passes. See https://ai.google.dev/edge/litert/conversion/tensorflow/overview.
"""

from __future__ import annotations

import re
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from apps.agents.backends.tensorflow.litert_conversion import converted
from apps.agents.backends.tensorflow.technique import STATEFUL, TensorFlowExport, library_words
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.evaluation import OutputsDiffer
from apps.agents.contracts.errors.techniques import TechniqueInvalidOutput
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.techniques.base import Applied, Assignment

ARTIFACT = "model.tflite"
_IDENTIFIER = b"TFL3"


class LiteRtExport(TensorFlowExport):
    """Passes the frozen graph to TensorFlow's converter."""

    may_fix_batch = True
    _description = ""

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        model = self.opened(assignment)
        with library_words(assignment.spec.label, reason_of):
            context.progress(0.1, "converting the weights to constants, and the graph to LiteRT")
            found = converted(model, assignment.scratch, partial(self._agrees, assignment, model.summary))
            self._description = found.description
        target = assignment.out / ARTIFACT
        target.write_bytes(in_order(found.content, model.summary))
        return Applied(target)

    def _agrees(self, assignment: Assignment, summary: ModelSummary, content: bytes) -> bool:
        """Whether a converted model gives the same outputs: Keras unrolls masked steps incorrectly."""
        tried = Path(tempfile.mkdtemp(prefix="tried-", dir=assignment.scratch)) / ARTIFACT
        tried.write_bytes(in_order(content, summary))
        try:
            self.validate(assignment, tried)
        except (TechniqueInvalidOutput, OutputsDiffer):
            return False
        return True

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        """Describe the result."""
        special = f"; {self._description}" if self._description else ""
        return f"It is a TensorFlow Lite model of {sum(after.operators.values())} operators in float32{special}."


def in_order(content: bytes, summary: ModelSummary) -> bytes:
    """A converted model whose signature lists inputs and outputs in the original's order; the converter sorts them."""
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
    """The converter's message without its traces: above all, which operators LiteRT lacks."""
    text = " ".join(str(error).split())
    unknown = sorted(set(re.findall(r"'?(tf\.\w+)'? op is neither a custom op nor a flex op", text)))
    if unknown:
        return f"LiteRT has no operator for {', '.join(unknown)}"
    if "AssignVariableOp" in text:
        return STATEFUL
    if "TensorList" in text:
        return "its loops collect the outputs of their steps in lists of tensors, which LiteRT does not have"
    return f"{type(error).__name__}: {text[:300]}".rstrip(". ")
