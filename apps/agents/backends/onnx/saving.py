"""Writes ONNX artifacts: portable, without traces of the machine, and reproducible to the byte."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import ModelProto

from apps.agents.files.onnx_files import all_graphs, write_onnx

_MADE_BY_TOOLS = ("onnx.infer", "onnx.quant.pre_process")
"""Metadata that preprocessing tools leave for themselves."""


def save_artifact(model: ModelProto, out: Path) -> Path:
    """Write `model` to `out` as `model.onnx`, or as `model.zip` if it is too large for one file.

    `model` is tidied and its weights move to a separate file, so do not use it afterwards.
    """
    tidy(model)
    return write_onnx(model, out, onnx.save_model)


def tidy(model: ModelProto) -> None:
    """Remove what no runtime reads: comments, stack traces of the exporter, inferred shapes, unused opsets.

    The model's own metadata stays: members keep class names and similar information there.
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


def _standard(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain
