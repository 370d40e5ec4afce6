"""Walks ONNX graphs and writes ONNX artifacts, for every backend that creates some.

Does not import an ONNX library. Models, graphs and nodes are the caller's protobufs; the caller's library has the
function that moves weights into a separate file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from apps.agents.files.reproducible_zip import write_zip

EXTERNAL_ABOVE_BYTES = 1_900_000_000
"""Protobuf is limited to 2 GiB. Larger weights are stored in a separate file, and the artifact is a zip of both."""
SMALLEST_EXTERNAL_BYTES = 1024


def write_onnx(model: Any, out: Path, save_model: Callable[..., object]) -> Path:
    """Write a `ModelProto` to `out` as `model.onnx` or, if it is too large, as `model.zip` with separate weights.

    The same model gives the same bytes. `save_model` is `onnx.save_model`. It moves weights out of `model`, so do not
    use `model` afterwards.
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
    """The graph and all graphs inside its nodes, at any depth, the outer one first."""
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
