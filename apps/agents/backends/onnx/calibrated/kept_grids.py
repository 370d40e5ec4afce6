"""Finds the grid that weights lie on already, so that a quantization keeps careful roundings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper
from onnxruntime.quantization import QuantType

from apps.agents.backends.onnx.nodes import WEIGHTED, output_axis

COARSE = 15
"""Weights are on a coarse grid if each output channel has at most this many steps on either side of zero."""
_NEAR = 1e-3
"""Steps by which float32 may miss a point of the grid."""


def coarse_steps(weight: NDArray[np.float32], axis: int, most: int = COARSE) -> NDArray[np.float32] | None:
    """The step of each output channel, [channels], if all lie on grids of at most `most` steps; else `None`."""
    rows = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1).astype(np.float64)
    if len(rows) > 1 and coarse_steps(rows[:1].astype(np.float32), 0, most) is None:
        return None  # Most weights of most models, and cheap to see.
    largest = np.abs(rows).max(1)
    steps, open_ones = np.where(largest > 0, 0.0, 1.0), largest > 0
    for count in range(1, most + 1):
        if not open_ones.any():
            break
        multiples = rows[open_ones] / largest[open_ones, None] * count
        fits = np.abs(multiples - np.rint(multiples)).max(1) < _NEAR
        places = np.flatnonzero(open_ones)[fits]
        steps[places] = largest[places] / count
        open_ones[places] = False
    return None if open_ones.any() else steps.astype(np.float32)


def overrides(proto: ModelProto, folder: Path, weight_type: QuantType) -> dict[str, list[dict[str, Any]]]:
    """How the library is told to keep the steps of weights that lie on coarse grids, by weight.

    External weights are in `folder`.
    """
    zero = 0 if weight_type in (QuantType.QInt8, QuantType.QInt16) else 128
    stored = {one.name: one for one in proto.graph.initializer if one.data_type == TensorProto.FLOAT}
    found: dict[str, list[dict[str, Any]]] = {}
    for node in proto.graph.node:
        tensor = stored.get(node.input[1]) if node.op_type in WEIGHTED else None
        if tensor is None or tensor.name in found or len(tensor.dims) < 2:
            continue
        axis = output_axis(node, len(tensor.dims))
        steps = coarse_steps(numpy_helper.to_array(tensor, str(folder)), axis)
        if steps is not None:
            one = {"axis": axis, "quant_type": weight_type, "zero_point": np.array(zero)}
            found[tensor.name] = [{**one, "scale": np.array(step, np.float32)} for step in steps]
    return found
