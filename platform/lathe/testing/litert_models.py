"""LiteRT models of a size, as the bytes of a `.tflite` file: written by its schema alone, so TensorFlow is not needed.

The schema: https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from lathe.testing.widths import width_for

BATCH = -1
RELU, LINEAR = schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.NONE
_TYPES = {np.dtype(np.float32): schema.TensorType.FLOAT32, np.dtype(np.int32): schema.TensorType.INT32}


def perceptron(megabytes: float, columns: int = 16, classes: int = 10, seed: int = 0) -> bytes:
    """`x` float32 [N, columns] → three layers → `logits` [N, classes]."""
    width = width_for(megabytes, 1, columns + classes + 2, classes)
    made = _Network(seed)
    tensor = made.starts("x", columns)
    for name, inputs in (("h0", columns), ("h1", width)):
        tensor = made.dense(name, tensor, inputs, width, RELU)
    return made.ends(made.dense("logits", tensor, width, classes, LINEAR))


def convolutional(
    megabytes: float, side: int = 32, channels: int = 3, classes: int = 10, layers: int = 4, seed: int = 0
) -> bytes:
    """`x` float32 [N, side, side, channels] → 3×3 convolutions, a mean over the picture → `logits` [N, classes]."""
    width = width_for(megabytes, 9 * layers, 9 * channels + layers + 1 + classes, classes)
    made = _Network(seed)
    tensor = made.starts("x", side, side, channels)
    for layer in range(layers + 1):
        tensor = made.convolution(f"h{layer}", tensor, width if layer else channels, width, side)
    return made.ends(made.dense("logits", made.mean("pooled", tensor, width), width, classes, LINEAR))


class _Network:
    """A graph with one input and one output, its weights drawn from the seed."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._model, self._graph = schema.ModelT(), schema.SubGraphT()
        self._model.version, self._model.description = 3, b"made by lathe.testing"
        self._model.buffers, self._model.operatorCodes = [schema.BufferT()], []
        self._graph.tensors, self._graph.operators = [], []
        self._model.subgraphs = [self._graph]

    def starts(self, name: str, *shape: int) -> int:
        self._input = self._passing(name, shape)
        return self._input

    def dense(self, name: str, tensor: int, inputs: int, outputs: int, activation: int) -> int:
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = activation
        weights = self._drawn(f"{name}.weights", (outputs, inputs), inputs)
        return self._operator("FULLY_CONNECTED", options, [tensor, *weights], self._passing(name, (outputs,)))

    def convolution(self, name: str, tensor: int, inputs: int, outputs: int, side: int) -> int:
        options = schema.Conv2DOptionsT()
        options.padding, options.fusedActivationFunction = schema.Padding.SAME, RELU
        options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
        weights = self._drawn(f"{name}.weights", (outputs, 3, 3, inputs), 9 * inputs)
        return self._operator("CONV_2D", options, [tensor, *weights], self._passing(name, (side, side, outputs)))

    def mean(self, name: str, tensor: int, channels: int) -> int:
        """Over the two sides of a picture."""
        axes = self._stored(f"{name}.axes", np.array([1, 2], np.int32))
        return self._operator("MEAN", schema.ReducerOptionsT(), [tensor, axes], self._passing(name, (channels,)))

    def ends(self, tensor: int) -> bytes:
        """The file, with the signature `serving_default`."""
        self._graph.inputs, self._graph.outputs = [self._input], [tensor]
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
        signature.inputs, signature.outputs = [self._port(self._input)], [self._port(tensor)]
        self._model.signatureDefs = [signature]
        builder = flatbuffers.Builder(0)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    # --- parts -------------------------------------------------------------------------------------------------------

    def _drawn(self, name: str, shape: tuple[int, ...], inputs: int) -> tuple[int, int]:
        """Weights as of He et al. ("Delving deep into rectifiers", 2015), and biases of 0."""
        drawn = self._random.standard_normal(shape, np.float32) * np.float32(math.sqrt(2 / inputs))
        return self._stored(name, drawn), self._stored(f"{name}.bias", np.zeros(shape[0], np.float32))

    def _stored(self, name: str, array: NDArray[Any]) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        return self._tensor(name, array.shape, _TYPES[array.dtype], len(self._model.buffers) - 1)

    def _passing(self, name: str, shape: Sequence[int]) -> int:
        """What is computed for a batch of any size."""
        at = self._tensor(name, (1, *shape), schema.TensorType.FLOAT32, 0)
        self._graph.tensors[at].shapeSignature = np.array([BATCH, *shape], np.int32)
        return at

    def _tensor(self, name: str, shape: Sequence[int], kind: int, buffer: int) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.shape, tensor.buffer = name.encode(), kind, np.array(shape, np.int32), buffer
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _operator(self, kind: str, options: Any, inputs: list[int], output: int) -> int:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
        self._model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = len(self._model.operatorCodes) - 1, inputs, [output]
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        operator.builtinOptions = options
        self._graph.operators.append(operator)
        return output

    def _port(self, tensor: int) -> Any:
        port = schema.TensorMapT()
        port.name, port.tensorIndex = self._graph.tensors[tensor].name, tensor
        return port
