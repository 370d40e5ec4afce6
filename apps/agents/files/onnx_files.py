"""Walking ONNX graphs and writing ONNX artifacts, for every backend that makes some.

Light: no ONNX library is imported. Models, graphs and nodes are the protobufs of whoever calls, whose library has the
function that puts weights into a file of their own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from apps.agents.files.reproducible_zip import write_zip

EXTERNAL_ABOVE_BYTES = 1_900_000_000
"""Protobuf takes 2 GiB in all; weights above this stand in a file of their own, and the artifact is a zip of both."""
SMALLEST_EXTERNAL_BYTES = 1024


def write_onnx(model: Any, out: Path, save_model: Callable[..., object]) -> Path:
    """Write a `ModelProto` to `out` as `model.onnx`, or as `model.zip` with its weights apart where it is too large.

    The same model gives the same bytes. `save_model` is `onnx.save_model`, which moves weights out of the caller's
    copy: it is not to be used again.
    """
    weights_bytes = sum(tensor.ByteSize() for graph in all_graphs(model.graph) for tensor in graph.initializer)
    if weights_bytes <= EXTERNAL_ABOVE_BYTES:
        target = out / "model.onnx"
        target.write_bytes(model.SerializeToString(deterministic=True))
        return target
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        inner = Path(folder) / "model.onnx"
        data = f"{inner.name}.data"
        save_model(model, str(inner), save_as_external_data=True, location=data, size_threshold=SMALLEST_EXTERNAL_BYTES)
        return write_zip(out / "model.zip", [(inner.name, inner), (data, Path(folder) / data)], compress=False)


def all_graphs(graph: Any) -> Iterator[Any]:
    """The graph and all graphs inside its nodes, however deep, the outer one first."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from all_graphs(inner)


def subgraphs(node: Any) -> Iterator[Any]:
    """The graphs inside a node: branches and loop bodies."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
