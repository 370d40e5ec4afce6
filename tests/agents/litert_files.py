"""TensorFlow Lite files written by the schema alone: a test process that has no TensorFlow can make them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

WIDE, CLASSES = 64, 4
_FLOAT32 = 0


class Function(NamedTuple):
    """One signature: the names it gives its tensors, which bear others, and the seed of its weights."""

    signature: str | None
    takes: str = "features"
    gives: str = "scores"
    seed: int = 0


def weights(seed: int) -> Any:
    return np.random.default_rng(seed).standard_normal((CLASSES, WIDE)).astype(np.float32)


def litert_file(*functions: Function) -> bytes:
    """`scores = features · weights(seed)ᵀ` for each function, in a subgraph of its own."""
    model = schema.ModelT()
    model.version, model.description = 3, b"test"
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    model.operatorCodes = [code]
    model.buffers = [schema.BufferT()]
    model.subgraphs = [_subgraph(model, function) for function in functions]
    model.signatureDefs = [
        _signature(function, place) for place, function in enumerate(functions) if function.signature is not None
    ]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _subgraph(model: Any, function: Function) -> Any:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(weights(function.seed).tobytes(), np.uint8)
    model.buffers.append(buffer)
    # The names are the signature's, the wrong way round: only the signature says which is which.
    shapes = [(function.gives, (1, WIDE)), ("kernel", (CLASSES, WIDE)), (function.takes, (1, CLASSES))]
    graph = schema.SubGraphT()
    graph.tensors = [_tensor(name, shape) for name, shape in shapes]
    graph.tensors[1].buffer = len(model.buffers) - 1
    for place in (0, 2):
        graph.tensors[place].shapeSignature = np.array([-1, graph.tensors[place].shape[1]], np.int32)
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = [0, 1, -1], [2]
    operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = schema.FullyConnectedOptionsT()
    graph.inputs, graph.outputs, graph.operators = [0], [2], [operator]
    return graph


def _tensor(name: str, shape: Sequence[int]) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.shape = name.encode(), _FLOAT32, np.array(shape, np.int32)
    tensor.buffer = 0
    return tensor


def _signature(function: Function, place: int) -> Any:
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = str(function.signature).encode(), place
    signature.inputs, signature.outputs = [_port(function.takes, 0)], [_port(function.gives, 2)]
    return signature


def _port(name: str, tensor: int) -> Any:
    port = schema.TensorMapT()
    port.name, port.tensorIndex = name.encode(), tensor
    return port
