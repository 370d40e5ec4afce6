"""The contents and cost of each part of a model: parameters, bytes of weights, multiply-accumulates of one example.

A multiply-accumulate (MAC) is one product added to a sum. As in the papers, bias, activation functions and
normalization are not counted. A FLOP is half of one. A part without a rule, or with an axis of unknown length, has
unknown MACs, not 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from apps.agents.backends.tensorflow.freezing import frozen
from apps.agents.backends.tensorflow.loading import layers_of
from apps.agents.backends.tensorflow.model import TensorFlowModel
from apps.agents.contracts.reports.analysis import Layer

Shape = tuple[int, ...]


def layers(model: TensorFlowModel, shapes: Mapping[str, Shape]) -> tuple[Layer, ...]:
    """The layers of a Keras model or, for a SavedModel, the operators of its frozen graph that compute something.

    `shapes` are the inputs' shapes by name, for a batch of one example.
    """
    if model.keras is not None:
        return tuple(_keras_layer(layer) for layer in layers_of(model.keras))
    return tuple(_operators(model, shapes))


# --- Keras ------------------------------------------------------------------------------------------------------------


def _keras_layer(layer: Any) -> Layer:
    kind = type(layer).__name__
    return Layer(
        name=layer.name,
        op_type=kind,
        parameters=sum(math.prod(weight.shape) for weight in layer.weights),
        weight_bytes=sum(math.prod(weight.shape) * tf.as_dtype(weight.dtype).size for weight in layer.weights),
        macs=_keras_macs(kind, layer),
        depthwise=kind.startswith("Depthwise"),
    )


def _keras_macs(kind: str, layer: Any) -> int | None:
    rule = _KERAS_RULES.get(kind)
    given = _one_example(getattr(layer, "output", None))
    if rule is None or given is None:
        return None
    return rule([tuple(weight.shape) for weight in layer.weights], given)


def _one_example(tensor: Any) -> Shape | None:
    """Shape of one example of a symbolic tensor; `None` if an axis is free, or if there are several tensors."""
    shape = getattr(tensor, "shape", None)
    if shape is None:
        return None
    axes = tuple(shape)[1:]
    return tuple(map(int, axes)) if all(axis is not None for axis in axes) else None


def _every_output_sums(weights: Sequence[Shape], given: Shape) -> int:
    """Kernel (…, in / groups, out): every output sums over the kernel of its channel."""
    return math.prod(given) * math.prod(weights[0][:-1])


def _depthwise(weights: Sequence[Shape], given: Shape) -> int:
    """Kernel (…, in, multiplier): every output sums over one filter."""
    return math.prod(given) * math.prod(weights[0][:-2])


def _separable(weights: Sequence[Shape], given: Shape) -> int:
    """A depthwise kernel (…, in, multiplier), then a pointwise one (1, 1, in × multiplier, out)."""
    between = weights[1][-2]
    places = math.prod(given[:-1])
    return places * between * math.prod(weights[0][:-2]) + places * between * given[-1]


_KERAS_RULES = {
    **dict.fromkeys(("Dense", "Conv1D", "Conv2D", "Conv3D"), _every_output_sums),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), _depthwise),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), _separable),
}


# --- graphs -----------------------------------------------------------------------------------------------------------


def _operators(model: TensorFlowModel, shapes: Mapping[str, Shape]) -> Iterator[Layer]:
    """The operators of the frozen graph, with their constants as weights. Shapes are those of one example."""
    function = frozen(model, {name: (1, *shape[1:]) for name, shape in shapes.items()})
    for operator in function.graph.get_operations():
        weights = [tensor for tensor in operator.inputs if _is_weight(tensor)]
        if operator.type in _SILENT or not operator.outputs:
            continue
        yield Layer(
            name=operator.name,
            op_type=operator.type,
            parameters=sum(tensor.shape.num_elements() for tensor in weights),
            weight_bytes=sum(tensor.shape.num_elements() * tensor.dtype.size for tensor in weights),
            macs=_graph_macs(operator),
            depthwise=operator.type.startswith("Depthwise"),
        )


_SILENT = frozenset(("Const", "Placeholder", "Identity", "NoOp", "Assert", "StopGradient"))


def _is_weight(tensor: Any) -> bool:
    """Whether it is a float constant, directly or behind an `Identity`, as frozen variables are."""
    source = tensor.op
    while source.type == "Identity":
        source = source.inputs[0].op
    return bool(source.type == "Const" and tensor.dtype.is_floating and (tensor.shape.num_elements() or 0) > 1)


def _graph_macs(operator: Any) -> int | None:
    rule = _GRAPH_RULES.get(operator.type)
    taken = [tuple(tensor.shape) if tensor.shape.rank is not None else (None,) for tensor in operator.inputs]
    given = operator.outputs[0].shape
    if rule is None or not given.is_fully_defined() or any(None in shape for shape in taken[:2]):
        return None
    return rule(operator, taken, tuple(given))


def _convolution(operator: Any, taken: Sequence[Shape], given: Shape) -> int:
    """Filter (…, in / groups, out)."""
    return math.prod(given) * math.prod(taken[1][:-1])


def _depthwise_convolution(operator: Any, taken: Sequence[Shape], given: Shape) -> int:
    return math.prod(given) * math.prod(taken[1][:-2])


def _product(operator: Any, taken: Sequence[Shape], given: Shape) -> int:
    flag = "transpose_a" if operator.type == "MatMul" else "adj_x"
    return math.prod(given) * taken[0][-2 if operator.get_attr(flag) else -1]


_GRAPH_RULES = {
    **dict.fromkeys(("Conv2D", "Conv3D"), _convolution),
    "DepthwiseConv2dNative": _depthwise_convolution,
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2"), _product),
}
