"""Multiply-accumulates of a TensorFlow Lite operator per example: one product added to a sum.

As in the papers, bias, activation functions and normalization are not counted. An operator without a rule has unknown
MACs, not 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from apps.agents.backends.litert.flatbuffer import Operator

Shape = tuple[int, ...]


def macs(operator: Operator, shapes: Mapping[int, Shape], examples: int) -> int | None:
    """MACs of one run with `examples` examples, per example; `None` if there is no rule or a shape is unknown."""
    rule = _RULES.get(operator.op_type)
    numbers = [number for number in (*operator.inputs, *operator.outputs) if number >= 0]
    if rule is None or any(number not in shapes for number in numbers):
        return None
    taken = [shapes.get(number, ()) for number in operator.inputs]
    return round(rule(taken, shapes[operator.outputs[0]]) / max(1, examples))


def _convolution(taken: Sequence[Shape], given: Shape) -> int:
    """Filter (out, height, width, in / groups): every output sums over one."""
    return math.prod(given) * math.prod(taken[1][1:])


def _depthwise(taken: Sequence[Shape], given: Shape) -> int:
    """Filter (1, height, width, channels)."""
    return math.prod(given) * math.prod(taken[1][1:3])


def _transposed(taken: Sequence[Shape], given: Shape) -> int:
    """Inputs: output shape, filter (out, height, width, in), values. Every value is spread over the filters."""
    return math.prod(taken[2]) * math.prod(taken[1][:3])


def _fully_connected(taken: Sequence[Shape], given: Shape) -> int:
    """Weight (out, in)."""
    return math.prod(given) * taken[1][-1]


def _product(taken: Sequence[Shape], given: Shape) -> int:
    """Product of stacks of matrices. Which of the first's last axes is summed over depends on its layout."""
    return math.prod(given) * (math.prod(taken[0]) // max(1, math.prod(given[:-1])))


_RULES = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transposed,
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _product,
}
