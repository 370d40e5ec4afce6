"""Empirical bias correction: after rounding, each channel of a layer's output gets the mean back that it had.

Nagel et al. 2019, https://arxiv.org/abs/1906.04721, section 4.2 and appendix D: layer after layer, with the layers
before it rounded and corrected already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from apps.agents.backends.onnx.calibrated.layers import Graph, WeightedLayer
from apps.agents.backends.onnx.flow import Flow
from apps.agents.measuring.statistics.moments import Matrix


@dataclass(frozen=True)
class Correction:
    """How far the bias of one layer moved, in standard deviations of that output."""

    name: str
    largest: float
    mean: float


def corrections(
    original: Graph, rounded: Graph, flow: Flow, tell: Callable[[float, str], None]
) -> tuple[dict[str, Matrix], list[Correction]]:
    """The biases, by name, with which the `rounded` graph's mean outputs are the original's. Stores them in `rounded`.

    Layers without a bias stay as they are.
    """
    layers = [layer for layer in original.layers if layer.bias]
    found: dict[str, Matrix] = {}
    recorded: list[Correction] = []
    for number, layer in enumerate(layers):
        tell(number / len(layers), f"correcting the bias of {layer.name}")
        shift, deviation = _shift(layer, original, rounded, flow)
        assert layer.bias
        found[layer.bias] = original.array(layer.bias) - shift
        rounded.store(layer.bias, found[layer.bias])
        moved = np.abs(shift) / deviation
        recorded.append(Correction(layer.name, round(float(moved.max()), 4), round(float(moved.mean()), 4)))
    return found, recorded


def _shift(layer: WeightedLayer, original: Graph, rounded: Graph, flow: Flow) -> tuple[Matrix, Matrix]:
    """How much the mean of each output channel has grown, and the channel's deviation in the original."""
    totals: Sequence[Matrix] = [np.zeros(layer.outputs) for _ in range(3)]
    count = 0
    for (wanted,), (given,) in flow.through((original.proto, [layer.end]), (rounded.proto, [layer.end])):
        place = 1 if layer.kernel else wanted.ndim - 1
        rows, made = (
            np.moveaxis(one, place, -1).reshape(-1, layer.outputs).astype(np.float64) for one in (wanted, given)
        )
        for total, one in zip(totals, (rows.sum(0), np.square(rows).sum(0), made.sum(0)), strict=True):
            total += one
        count += len(rows)
    mean, square, made_mean = (total / count for total in totals)
    return made_mean - mean, np.sqrt(np.maximum(square - np.square(mean), 1e-12))
