"""The rows that a layer multiplies by its weights: patches of its input (im2col), or the input's own rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from apps.agents.backends.onnx.nodes import attribute
from apps.agents.backends.onnx.split_model import Array
from apps.agents.measuring.statistics.moments import Stack
from apps.agents.techniques.channel_pruning.row_sample import Take

Rows = tuple[Stack, Stack]


def patches(node: NodeProto, source: Array, kernel: Sequence[int]) -> NDArray[np.float32]:
    """The patches of a convolution as a view [N, o1…, C, k1…]: o are the places of its output, k is the `kernel`."""
    axes = len(kernel)
    strides = list(attribute(node, "strides", [1] * axes))
    dilations = list(attribute(node, "dilations", [1] * axes))
    pads = _pads(node, source.shape[2:], kernel, strides, dilations)
    padded = np.pad(np.asarray(source, np.float32), [(0, 0), (0, 0), *pads])
    spans = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=tuple(range(2, 2 + axes)))
    every = (slice(None), slice(None))
    picked = windows[(*every, *(slice(None, None, step) for step in (*strides, *dilations)))]
    return np.moveaxis(picked, 1, 1 + axes)


def _pads(
    node: NodeProto, sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[tuple[int, int]]:
    axes = len(kernel)
    auto = attribute(node, "auto_pad", b"NOTSET")
    if auto not in (b"SAME_UPPER", b"SAME_LOWER"):
        flat = [0] * (2 * axes) if auto == b"VALID" else list(attribute(node, "pads", [0] * (2 * axes)))
        return [(flat[place], flat[place + axes]) for place in range(axes)]
    pads = []
    for size, span, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        whole = max(0, (math.ceil(size / stride) - 1) * stride + (span - 1) * dilation + 1 - size)
        pads.append((whole // 2, whole - whole // 2) if auto == b"SAME_UPPER" else (whole - whole // 2, whole // 2))
    return pads


def rows_of(node: NodeProto, source: Array, target: Array, kernel: Sequence[int], groups: int, take: Take) -> Rows:
    """What a layer reads and gives for one batch, in the rows taken: x and y, [groups, rows, numbers].

    `kernel` has the lengths of a convolution's kernel. If empty, the layer is a matrix product over the last axis.
    """
    if not kernel:
        x, y = (np.asarray(one, np.float32).reshape(-1, one.shape[-1]) for one in (source, target))
        chosen = take(len(x))
        return x[None, chosen], y[None, chosen]
    windows = patches(node, source, kernel)
    places = (windows.shape[0], *windows.shape[1 : 1 + len(kernel)])
    where = np.unravel_index(take(math.prod(places)), places)
    picked = (windows[where], np.moveaxis(np.asarray(target, np.float32), 1, -1)[where])
    read, given = (one.reshape(len(one), groups, -1).transpose(1, 0, 2) for one in picked)
    return read, given
