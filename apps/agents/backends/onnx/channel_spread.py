"""How far apart the ranges of the output channels of each layer's weights are."""

from __future__ import annotations

import numpy as np

from apps.agents.backends.onnx.nodes import WEIGHTED, output_axis
from apps.agents.backends.onnx.split_model import SplitModel

_LOW, _HIGH = 10, 90
"""Percentiles, so that a few dead channels do not count."""


def channel_spreads(split: SplitModel) -> dict[str, float]:
    """By node: the range of a large channel (90th percentile) over that of a small one (10th)."""
    found: dict[str, float] = {}
    for node in split.proto.graph.node:
        if node.op_type not in WEIGHTED or (weight := split.array(node.input[1])) is None or weight.ndim < 2:
            continue
        if weight.dtype != np.float32 or not weight.size:
            continue
        axis = output_axis(node, weight.ndim)
        ranges = np.abs(np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)).max(1)
        low, high = np.percentile(ranges, (_LOW, _HIGH))
        if low > 0 and np.isfinite(high):
            found[node.name] = float(high / low)
    return found
