"""The anatomy of a Keras model for pruning: its channels, the groups that can be cut, and the work of each layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apps.agents.backends.tensorflow import cost
from apps.agents.backends.tensorflow.loading import keras_model
from apps.agents.backends.tensorflow.pruning.rows import weight_of
from apps.agents.backends.tensorflow.pruning.rules import trace_channels
from apps.agents.backends.tensorflow.pruning.surgery import sliced
from apps.agents.backends.tensorflow.pruning.tracing import Layer, Trace
from apps.agents.contracts.formats import Format
from apps.agents.techniques.channel_pruning.allocation import Work, work_of
from apps.agents.techniques.channel_pruning.anatomy import Anatomy
from apps.agents.techniques.channel_pruning.channels import Kept
from apps.agents.techniques.channel_pruning.groups import groups_of, is_cuttable, why_nothing
from apps.agents.techniques.reduction import Workload


@dataclass(frozen=True)
class KerasAnatomy(Anatomy[Layer]):
    """A traced Keras model and the findings about it."""

    trace: Trace
    stored: Work
    """The numbers in kernels, counted as the multiply-accumulates are."""

    def targets(self, parameters: Mapping[str, Any]) -> tuple[tuple[Work, float], ...]:
        return *super().targets(parameters), (self.stored, float(parameters["weights_removed"]))

    def parameters_gone(self, kept: Kept) -> int:
        gone = 0
        for layer in self.trace.model.layers:
            sizes = {one.name: math.prod(one.shape) for one in layer.weights}
            gone += sum(sizes[name] - array.size for name, array in sliced(self.trace, layer, kept).items())
        return gone


def examine(model: Any) -> KerasAnatomy:
    """The anatomy of a functional or sequential model of Keras 3."""
    trace = trace_channels(model)
    groups = groups_of(trace)
    cuttable = tuple(filter(is_cuttable, groups))
    uncut = tuple(group for group in groups if group.reason is not None)
    work = work_of(trace, cuttable, dict(_macs(trace)))
    sizes = {layer.name: math.prod(weight_of(layer, layer.node.layer).shape) for layer in trace.layers}
    stored = work_of(trace, cuttable, sizes)
    return KerasAnatomy(trace, cuttable, uncut, work, workload_of(model).parameters, stored)


def why_uncuttable(model: Any) -> str | None:
    """Why nothing in a model can be cut; `None` if something can."""
    groups = groups_of(trace_channels(model))
    return None if any(map(is_cuttable, groups)) else why_nothing([one for one in groups if one.reason is not None])


def workload_of(model: Any) -> Workload:
    """What a Keras model computes for one example, and what it stores, counted layer by layer."""
    layers = cost.layers(keras_model(model, Format.KERAS, ""), {})
    return Workload(sum(layer.macs or 0 for layer in layers), sum(layer.parameters for layer in layers))


def _macs(trace: Trace) -> Iterator[tuple[str, int]]:
    """Multiply-accumulates of one example by layer. The filter of a separable convolution is counted separately."""
    filters = {layer.node.name: layer for layer in trace.layers if layer.separable and layer.depthwise}
    for one in cost.layers(keras_model(trace.model, Format.KERAS, ""), {}):
        macs = one.macs or 0
        if (layer := filters.get(one.name)) is not None and macs:
            kernel, pointwise = (math.prod(weight.shape) for weight in layer.node.layer.weights[:2])
            places = macs // (kernel + pointwise)
            yield layer.name, places * kernel
            macs -= places * kernel
        if macs:
            yield one.name, macs
