"""Writes the result of PyTorch's exporters: with the summary's names, without traces of the machine, reproducible.

Nodes are named after their module and operator, so that a layer of the graph can be found in the model, such as
`encoder.layer.0.attention.self.query/MatMul`.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence

from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

from apps.agents.contracts.reports.model import ModelSummary, TensorSpec
from apps.agents.files.onnx_files import all_graphs

_SCOPES = "pkg.torch.onnx.name_scopes"
"""The modules around a node, the outermost first, in the exporter's metadata."""
_WRAPPER = re.compile(r"^module(\.|$)")
_TOKEN = re.compile(r"\w+")


def tidy(model: ModelProto, summary: ModelSummary) -> ModelProto:
    """`model` with the summary's axis names, module names for nodes, and without what no runtime reads."""
    _name_axes(model.graph, summary)
    names = Counter[str]()
    for graph in all_graphs(model.graph):
        graph.doc_string = ""
        del graph.value_info[:]
        del graph.metadata_props[:]
        for tensor in graph.initializer:
            tensor.doc_string = ""
            del tensor.metadata_props[:]
        for node in graph.node:
            _name(node, names)
    for value in (*model.graph.input, *model.graph.output):
        value.doc_string = ""
        del value.metadata_props[:]
    model.doc_string = ""
    del model.metadata_props[:]
    return model


def _name(node: NodeProto, names: Counter[str]) -> None:
    noted = {prop.key: prop.value for prop in node.metadata_props}
    if _SCOPES in noted:
        modules = [scope for scope in ast.literal_eval(noted[_SCOPES])[:-1] if scope]
        place = _WRAPPER.sub("", modules[-1]) if modules else ""
        node.name = f"{place}/{node.op_type}" if place else node.op_type
    node.name = node.name or node.op_type
    names[node.name] += 1
    if names[node.name] > 1:
        node.name = f"{node.name}_{names[node.name]}"
    node.doc_string = ""
    del node.metadata_props[:]


def _name_axes(graph: GraphProto, summary: ModelSummary) -> None:
    """Give free axes the summary's names, also in outputs with the same axes."""
    known: dict[str, str] = {}
    by_name = {spec.name: spec for spec in summary.inputs}
    for value in graph.input:
        spec = by_name[value.name]
        for dimension, axis in zip(value.type.tensor_type.shape.dim, spec.shape, strict=True):
            if dimension.dim_param:
                known[dimension.dim_param] = axis if isinstance(axis, str) else f"{value.name}_{len(known)}"
                dimension.dim_param = known[dimension.dim_param]
    _name_output_axes(graph.output, summary.outputs, known)


def _name_output_axes(values: Sequence[ValueInfoProto], specs: Sequence[TensorSpec], known: dict[str, str]) -> None:
    for value, spec in zip(values, specs, strict=True):
        dimensions = value.type.tensor_type.shape.dim
        axes = spec.shape if len(spec.shape) == len(dimensions) else (None,) * len(dimensions)
        for dimension, axis in zip(dimensions, axes, strict=True):
            if not dimension.dim_param:
                continue
            renamed = _TOKEN.sub(lambda match: known.get(match.group(), match.group()), dimension.dim_param)
            dimension.dim_param = axis if isinstance(axis, str) else renamed
