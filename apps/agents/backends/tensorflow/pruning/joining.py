"""Layers that join tensors: elementwise layers couple channels, concatenations append them."""

from __future__ import annotations

import numpy as np

from apps.agents.backends.tensorflow.pruning.tracing import Node, Trace
from apps.agents.techniques.channel_pruning.channels import Ids


def elementwise(trace: Trace, node: Node) -> None:
    """Couples the channels of all operands. A single number for all channels does not count as a channel."""
    width = int(node.targets[0].shape[-1] or 0)
    wide = [tensor for tensor in node.sources if int(tensor.shape[-1] or 0) == width]
    ids = [found for tensor in wide if (found := trace.of(tensor)) is not None]
    for tensor in node.sources:
        if int(tensor.shape[-1] or 0) != width and (narrow := trace.of(tensor)) is not None:
            trace.channels.pin(narrow, f"is broadcast over all channels by {node.name}")
    if len(ids) < len(wide):
        trace.pin(node, f"goes into {node.name}, together with a tensor whose channels are unknown")
    for other in ids[1:]:
        trace.channels.join(ids[0], other)
    trace.give(node, ids[0] if ids else None)


def concatenate(trace: Trace, node: Node) -> None:
    """Along channels they are appended; along another axis they are coupled."""
    if node.layer.axis not in (-1, len(node.targets[0].shape) - 1):
        elementwise(trace, node)
        return
    parts: list[Ids] = []
    for tensor in node.sources:
        ids, reason = trace.of(tensor), f"is read by {node.name} from an unknown source"
        parts.append(trace.channels.new(int(tensor.shape[-1]), reason) if ids is None else ids)
    trace.give(node, np.concatenate(parts))
