"""Writing ONNX artifacts: portable, without traces of the machine that made them, the same bytes every time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import GraphProto, ModelProto

from apps.agents.backends.onnx.workbench import subgraphs
from apps.agents.files.onnx_limits import EXTERNAL_ABOVE_BYTES, SMALLEST_EXTERNAL_BYTES
from apps.agents.files.reproducible_zip import write_zip

_MADE_BY_TOOLS = ("onnx.infer", "onnx.quant.pre_process")
"""Notes that preprocessing tools leave for themselves."""


def save_artifact(model: ModelProto, out: Path) -> Path:
    """Write `model` to `out` as `model.onnx`, or as `model.zip` where it is too large for one file.

    `model` is tidied, and its weights move to the file beside it, so the caller's copy is not to be used again.
    """
    tidy(model)
    if _weights_bytes(model) <= EXTERNAL_ABOVE_BYTES:
        target = out / "model.onnx"
        target.write_bytes(model.SerializeToString(deterministic=True))
        return target
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        inner = Path(folder) / "model.onnx"
        data = f"{inner.name}.data"
        onnx.save_model(
            model, str(inner), save_as_external_data=True, location=data, size_threshold=SMALLEST_EXTERNAL_BYTES
        )
        return write_zip(out / "model.zip", [(inner.name, inner), (data, Path(folder) / data)], compress=False)


def tidy(model: ModelProto) -> None:
    """Drop what no runtime reads: comments, stack traces of the exporter, inferred shapes, operator sets unused.

    The metadata of the model itself stays: members keep class names and the like there.
    """
    for index in reversed(range(len(model.metadata_props))):
        if model.metadata_props[index].key in _MADE_BY_TOOLS:
            del model.metadata_props[index]
    used = set()
    for graph in all_graphs(model.graph):
        graph.doc_string = ""
        del graph.value_info[:]
        del graph.metadata_props[:]
        for tensor in graph.initializer:
            tensor.doc_string = ""
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
            used.add(_standard(node.domain))
    used.update(_standard(function.domain) for function in model.functions)
    for index in reversed(range(len(model.opset_import))):
        domain = _standard(model.opset_import[index].domain)
        if domain and domain not in used:
            del model.opset_import[index]


def all_graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and all graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from all_graphs(inner)


def _standard(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _weights_bytes(model: ModelProto) -> int:
    return sum(tensor.ByteSize() for graph in all_graphs(model.graph) for tensor in graph.initializer)
