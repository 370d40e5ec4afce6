"""What the model's output loses if one group alone is cut and its removed channels are predicted from the kept ones.

Nothing is cut for this: the prediction is merged into the weights of the layers that read the group, as in GRAIL. It
takes one run over a few examples per group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from onnx import ModelProto

from apps.agents.backends.onnx.pruning.flow import Flow
from apps.agents.backends.onnx.pruning.surgery import store
from apps.agents.backends.onnx.pruning.tracing import Layer, Trace
from apps.agents.evaluation.fidelity import energies
from apps.agents.measuring.statistics.moments import Matrix
from apps.agents.techniques.channel_pruning.groups import Group, readers_of
from apps.agents.techniques.channel_pruning.prediction import merged, prediction_map
from apps.agents.techniques.channel_pruning.readings import Reading
from apps.agents.techniques.channel_pruning.selection import Ranking

KEPT_SHARE = 0.5
"""The share of a group's channels that stays while its sensitivity is measured."""


def sensitivities(
    trace: Trace,
    groups: Sequence[Group],
    read: Mapping[str, Sequence[Reading]],
    rankings: Mapping[str, Ranking],
    flow: Flow,
    tell: Callable[[float, str], None],
) -> dict[str, float]:
    """Noise over signal at the output by group, per unit of what its readers lose (`Ranking.loss`)."""
    found = {}
    for number, group in enumerate(groups):
        tell(number / len(groups), f"what the output loses without half of {group.name}")
        kept = max(1, round(KEPT_SHARE * group.width))
        ranking = rankings[group.name]
        changed = _merged(trace, group, read[group.name], np.sort(ranking.order[:kept]))
        found[group.name] = _noise(trace, changed, flow) / max(float(ranking.loss[kept]), 1e-4)
    return found


def _noise(trace: Trace, changed: ModelProto, flow: Flow) -> float:
    """The highest noise-to-signal ratio over the outputs."""
    names = [output.name for output in trace.proto.graph.output]
    sums = np.zeros((len(names), 2))
    for exact, noisy in flow.through((trace.proto, names), (changed, names)):
        sums += [energies(a, b) for a, b in zip(exact, noisy, strict=True)]
    return float(max(noise / max(signal, 1e-30) for signal, noise in sums))


def _merged(trace: Trace, group: Group, read: Sequence[Reading], kept: np.ndarray) -> ModelProto:
    """A copy of the graph whose layers read only the `kept` classes of the group."""
    proto = ModelProto()
    proto.CopyFrom(trace.proto)
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    for layer, reading in zip(readers_of(trace, group), read, strict=True):
        store(stored[layer.weight], _weight(trace, group, layer, prediction_map(reading.covariance, kept)))
    return proto


def _weight(trace: Trace, group: Group, layer: Layer, predicted: Matrix) -> np.ndarray:
    assert layer.ids_in is not None, "a reader's channels are known"
    weight = np.moveaxis(trace.stored[layer.weight], layer.input_axis, 0)
    moved = merged(weight, trace.channels.roots(layer.ids_in), group.roots, predicted)
    return np.moveaxis(moved, 0, layer.input_axis)
