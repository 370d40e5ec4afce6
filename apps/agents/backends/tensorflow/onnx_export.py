"""Export to ONNX by tf2onnx: the same float network for ONNX Runtime, with all free axes still free.

Keras models and SavedModels are converted from their frozen graph, TensorFlow Lite models directly. The outputs are
compared with the original's on the calibration examples, by the check that every technique passes. See
https://github.com/onnx/tensorflow-onnx.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto

from apps.agents.backends.tensorflow.freezing import SIGNATURE, write_frozen
from apps.agents.backends.tensorflow.technique import STATEFUL, TensorFlowExport, library_words
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.model import ModelSummary, TensorSpec
from apps.agents.files.onnx_files import EXTERNAL_ABOVE_BYTES, all_graphs, write_onnx
from apps.agents.techniques.base import Applied, Assignment

OPSET = 18
"""The newest opset that tf2onnx writes."""


class TensorFlowOnnxExport(TensorFlowExport):
    """Passes the frozen graph, or the TensorFlow Lite file, to tf2onnx."""

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        engine = assignment.engine()
        summary = engine.summary
        if summary.size_bytes > EXTERNAL_ABOVE_BYTES:
            reason = f"its weights take {summary.size_bytes:,} bytes, but a graph of constants is limited to 2 GiB"
            raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)
        with library_words(assignment.spec.label, reason_of):
            proto = from_tflite(engine) if summary.format == Format.TFLITE else self._from_graph(assignment, context)
            context.progress(0.9, "writing")
            return Applied(write_onnx(tidy(proto, summary), assignment.out, onnx.save_model))

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        """Describe the result."""
        return f"It is ONNX of opset {after.opset} in {sum(after.operators.values())} operators."

    def _from_graph(self, assignment: Assignment, context: Context) -> ModelProto:
        from tf2onnx import convert, tf_loader

        folder = Path(tempfile.mkdtemp(prefix="frozen-", dir=assignment.scratch))
        context.progress(0.1, "converting the weights to constants")
        write_frozen(self.opened(assignment), folder)
        context.progress(0.3, "translating")
        graph, inputs, outputs, names = tf_loader.from_saved_model(
            str(folder), None, None, tag=["serve"], signatures=[SIGNATURE], return_tensors_to_rename=True
        )
        proto, _ = convert._convert_common(
            graph, name="model", opset=OPSET, input_names=inputs, output_names=outputs, tensors_to_rename=names
        )
        return proto


def from_tflite(engine: Any) -> ModelProto:
    """The model opened by a `LiteRtEngine`, with the signature's names for inputs and outputs."""
    from tf2onnx import convert

    proto, _ = convert.from_tflite(str(engine.path), opset=OPSET)
    inputs, outputs = (
        {port.name: engine.file.tensors[port.tensor].name for port in ports}
        for ports in (engine.file.inputs, engine.file.outputs)
    )
    return call_by(proto, inputs, outputs)


def tidy(proto: ModelProto, summary: ModelSummary) -> ModelProto:
    """The graph with inputs and outputs in the summary's order and with named free axes."""
    del proto.metadata_props[:]
    proto.doc_string = ""
    for values, specs in ((proto.graph.input, summary.inputs), (proto.graph.output, summary.outputs)):
        by_name = {value.name: value for value in values}
        ordered = [onnx.ValueInfoProto.FromString(by_name[spec.name].SerializeToString()) for spec in specs]
        for value, spec in zip(ordered, specs, strict=True):
            _name_axes(value, spec)
        del values[:]
        values.extend(ordered)
    return proto


def call_by(proto: ModelProto, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> ModelProto:
    """Rename inputs and outputs. The mappings are from the new names to the tensors behind them.

    Two names may share a tensor, and a name may have belonged to another tensor before.
    """
    graph = proto.graph
    renamed: dict[str, str] = {}
    copies: dict[str, str] = {}
    for name, tensor in [*inputs.items(), *outputs.items()]:
        if renamed.setdefault(tensor, name) != name:
            copies[name] = renamed[tensor]
    taken = {*renamed.values(), *copies}
    renamed |= {name: f"{name}__inner" for name in set(_names(graph)) & taken - renamed.keys()}
    values = {value.name: value for value in (*graph.input, *graph.output)}
    given = [_called(values[tensor], name) for name, tensor in outputs.items()]
    _rename(graph, renamed)
    del graph.output[:]
    graph.output.extend(given)
    graph.node.extend(onnx.helper.make_node("Identity", [tensor], [name]) for name, tensor in copies.items())
    return proto


def _called(value: onnx.ValueInfoProto, name: str) -> onnx.ValueInfoProto:
    made = onnx.ValueInfoProto.FromString(value.SerializeToString())
    made.name = name
    return made


def _names(graph: Any) -> Iterator[str]:
    for one in all_graphs(graph):
        yield from (value.name for values in (one.input, one.output, one.initializer) for value in values)
        yield from (name for node in one.node for name in node.output)


def _rename(graph: Any, renamed: Mapping[str, str]) -> None:
    """Rename tensors everywhere, also within loops and branches."""
    for one in all_graphs(graph):
        for value in (*one.input, *one.output, *one.initializer, *one.value_info):
            value.name = renamed.get(value.name, value.name)
        for node in one.node:
            for names in (node.input, node.output):
                names[:] = [renamed.get(name, name) for name in names]


def _name_axes(value: Any, spec: TensorSpec) -> None:
    """Name free axes: the first is the batch, any other is named after its index."""
    axes: Sequence[Any] = value.type.tensor_type.shape.dim
    for place, axis in enumerate(axes):
        wanted = spec.shape[place] if place < len(spec.shape) else None
        if isinstance(wanted, int):
            axis.dim_value = wanted
        elif not axis.HasField("dim_value"):
            axis.dim_param = "batch" if place == 0 else re.sub(r"\W", "_", f"{spec.name}_{place}")


def reason_of(error: Exception) -> str:
    """tf2onnx's message: above all, which operators ONNX lacks."""
    text = " ".join(str(error).split())
    if "AssignVariableOp" in text:
        return STATEFUL
    unknown = re.search(r"Tensorflow op \[[^\]]*: (\w+)\] is not supported", text)
    return (
        f"ONNX has no counterpart of {unknown[1]}" if unknown else f"{type(error).__name__}: {text[:300]}".rstrip(". ")
    )
