"""Reduces a `.tflite` file to one of its signatures, so that running, measuring and changing it ignore the others.

Each signature names a subgraph. The chosen one becomes the first, and only the subgraphs that it calls are kept with
it. Weights that are no longer read are left out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from apps.agents.backends.litert.flatbuffer import BROKEN, IN_THIS_FILE, LiteRtFile, parse_litert
from apps.agents.contracts.errors.litert_models import LiteRtDamaged

_IDENTIFIER = b"TFL3"
_BRANCHES = "branchSubgraphIndices"


def opened(path: Path, scratch: Path, signature: str | None = None) -> tuple[LiteRtFile, Path]:
    """The model at `path` with one signature, and a file with only that signature: the file itself if it has no other.

    The summary still lists every signature, but its size is that of the one. Raises the errors of `parse_litert`.
    """
    content = path.read_bytes()
    file = parse_litert(content, signature)
    if len(file.signatures) <= 1 and file.subgraph == 0:
        return file, path
    target = Path(tempfile.mkdtemp(prefix="signature-", dir=scratch)) / "model.tflite"
    lone = alone(content, file)
    target.write_bytes(lone)
    return replace(parse_litert(lone), signatures=file.signatures), target


def alone(content: bytes, file: LiteRtFile) -> bytes:
    """The model in `content` with only the signature of `file`. Raises `LiteRtDamaged`."""
    try:
        model = unpacked(content)
        _keep_subgraphs(model, file.subgraph)
        signature = next(one for one in model.signatureDefs if (one.signatureKey or b"").decode() == file.signature)
        signature.subgraphIndex = 0
        model.signatureDefs = [signature]
        _keep_buffers(model)
        return packed(model)
    except (*BROKEN, StopIteration, MemoryError, RecursionError) as error:
        raise LiteRtDamaged(reason=f"{type(error).__name__}: {error}"[:300]) from error


def unpacked(content: bytes) -> Any:
    """The model as objects of the schema, including all its numbers."""
    model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    for buffer in model.buffers or ():
        if buffer.offset > IN_THIS_FILE:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    for operator in (operator for graph in model.subgraphs for operator in graph.operators or ()):
        if operator.largeCustomOptionsOffset > IN_THIS_FILE:
            begin, length = operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize
            operator.customOptions = np.frombuffer(content, np.uint8, length, begin)
            operator.largeCustomOptionsOffset = operator.largeCustomOptionsSize = 0
    return model


def packed(model: Any) -> bytes:
    """The bytes of a file with `model`."""
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def _keep_subgraphs(model: Any, first: int) -> None:
    """Keep the subgraph `first` and those that it calls, at any depth, in this order."""
    kept = [first]
    for number in kept:  # Grows during the loop.
        for options, name in _calls(model.subgraphs[number]):
            called = getattr(options, name)
            kept += [one for one in map(int, np.atleast_1d(called)) if one >= 0 and one not in kept]
    places = {old: new for new, old in enumerate(kept)}
    for options, name in [call for number in kept for call in _calls(model.subgraphs[number])]:
        called = getattr(options, name)
        moved = [places.get(int(one), int(one)) for one in np.atleast_1d(called)]
        setattr(options, name, moved if name == _BRANCHES else moved[0])
    model.subgraphs = [model.subgraphs[number] for number in kept]


def _calls(graph: Any) -> Iterator[tuple[Any, str]]:
    """References from a subgraph's operators to other subgraphs: the options object and its attribute with the index.

    The schema uses similar names for all of them: `bodySubgraphIndex`, `branchSubgraphIndices`, and `subgraph` of CALL.
    """
    for operator in graph.operators or ():
        for options in (operator.builtinOptions, operator.builtinOptions2):
            for name, value in vars(options).items() if options is not None else ():
                named = name.endswith(("SubgraphIndex", "SubgraphIndices")) or name == "subgraph"
                if named and value is not None:
                    yield options, name


def _keep_buffers(model: Any) -> None:
    """Empty the buffers that nothing reads. The indices of the others do not change."""
    read = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors or ()}
    read |= {entry.buffer for entry in model.metadata or ()}
    for number, buffer in enumerate(model.buffers):
        if number not in read:
            buffer.data = None
