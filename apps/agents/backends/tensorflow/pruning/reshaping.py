"""Layers that flatten and reshape: channels are followed as long as they are the last axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from apps.agents.backends.tensorflow.pruning.tracing import Count, Node, Trace


def flatten(trace: Trace, node: Node) -> None:
    """The result has all channels of the first place of a feature map, then of the next, and so on."""
    places = _places(node.sources[0])
    if node.layer.data_format != "channels_last" or places is None:
        trace.pin(node, f"goes into {node.name}, which flattens axes of unknown length")
        return
    ids = trace.of(node.sources[0])
    trace.give(node, None if ids is None else np.tile(ids, places))


def reshape(trace: Trace, node: Node) -> None:
    """Followed if the last axis stays the same, or if there is only one axis."""
    source, target = node.sources[0], node.targets[0]
    ids, places = trace.of(source), _places(source)
    if ids is None:
        return
    single = len(target.shape) == 2 and places is not None
    if target.shape[-1] == source.shape[-1]:
        made = ids
    elif single:
        made = np.tile(ids, places or 1)
    else:
        trace.pin(node, f"goes into {node.name}, which mixes channels with other axes")
        return
    if node.layer.target_shape[-1] != -1:
        trace.counts[node.name] = Count("target_shape", made, last_of_list=True)
    trace.give(node, made)


def _places(tensor: Any) -> int | None:
    """How many places an example's feature map has; `None` if an axis has no fixed length."""
    axes = tuple(tensor.shape)[1:-1]
    return None if any(axis is None for axis in axes) else math.prod(axes)
