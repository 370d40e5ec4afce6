"""What the model's output loses when one group alone is cut, and what is cut is predicted from what stays.

Nothing is cut for it: layers that read a group get weights that make the same of the kept channels alone (the channel
map merged into the reader, as in GRAIL). One run over a few examples a group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from onnx import ModelProto

from apps.agents.backends.onnx.pruning.flow import Flow
from apps.agents.backends.onnx.pruning.groups import Group, readers_of
from apps.agents.backends.onnx.pruning.selection import Ranking
from apps.agents.backends.onnx.pruning.statistics import Reading
from apps.agents.backends.onnx.pruning.surgery import store
from apps.agents.backends.onnx.pruning.tracing import Layer, Trace
from apps.agents.evaluation.fidelity import energies
from apps.agents.measuring.statistics.moments import Matrix

KEPT_SHARE = 0.5
"""Of a group's channels, while its sensitivity is measured."""
_DAMPING = 1e-4


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
    """A copy of the graph whose layers read of the group the `kept` classes alone."""
    proto = ModelProto()
    proto.CopyFrom(trace.proto)
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    for layer, reading in zip(readers_of(trace, group), read, strict=True):
        store(stored[layer.weight], _weight(trace, group, layer, _map(reading.covariance, kept)))
    return proto


def _map(covariance: Matrix, kept: np.ndarray) -> Matrix:
    """[classes, classes]: what of each class (a row) the kept ones (the columns that are not zero) predict."""
    inner = covariance[np.ix_(kept, kept)]
    damped = inner + (_DAMPING * np.trace(inner) / len(kept) + 1e-12) * np.eye(len(kept))
    found = np.zeros_like(covariance)
    found[:, kept] = np.linalg.solve(damped, covariance[kept]).T
    found[kept] = np.eye(len(covariance))[kept]
    return found


def _weight(trace: Trace, group: Group, layer: Layer, predicted: Matrix) -> np.ndarray:
    """The layer's weight with the group's rows moved to those that stay; a flattened picture, place by place."""
    assert layer.ids_in is not None, "a reader's channels are known"
    weight = np.moveaxis(trace.stored[layer.weight].astype(np.float64), layer.input_axis, 0).copy()
    roots = trace.channels.roots(layer.ids_in)
    places = [np.flatnonzero(roots == one) for one in group.roots.tolist()]
    if len({len(one) for one in places}) == 1:
        for line in np.stack(places, 1):
            weight[line] = np.tensordot(predicted.T, weight[line], 1)
    return np.moveaxis(weight, 0, layer.input_axis)
