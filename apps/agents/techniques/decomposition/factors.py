"""What replaces a layer: stages with smaller weights, one after the other, and the weight that they multiply to."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from apps.agents.measuring.statistics.moments import Matrix
from apps.agents.techniques.decomposition.layer import DenseLayer

_TINY = 1e-12


@dataclass(frozen=True)
class Stage:
    """A convolution without bias, or a matrix product."""

    weight: Matrix
    """[outputs, inputs per group, *kernel]."""
    axes: tuple[int, ...] = ()
    """The axes along which it has the layer's kernel, stride, padding and dilation. Its kernel is 1 elsewhere."""
    groups: int = 1

    @property
    def outputs(self) -> int:
        return int(self.weight.shape[0])


@dataclass(frozen=True)
class Factors:
    """Stages that replace a layer. The last one takes over its bias."""

    form: str
    rank: int
    """Channels between the stages; of several, the largest number."""
    stages: tuple[Stage, ...]
    product: Matrix
    """[outputs, features]: the weight that the stages multiply to."""
    lost: float
    """The share of the energy of the layer's outputs that is lost, 0 to 1."""

    @property
    def parameters(self) -> int:
        return sum(int(stage.weight.size) for stage in self.stages)

    def macs(self, layer: DenseLayer) -> int:
        """Multiply-accumulates of one example."""
        done: set[int] = set()
        total = 0
        for stage in self.stages:
            done |= set(stage.axes)
            places = math.prod(layer.after[axis] if axis in done else layer.before[axis] for axis in layer.axes)
            total += layer.rows * places * int(stage.weight.size)
        return total


Maker = Callable[[int], Factors]
"""Makes the factors of a layer at a rank."""


def wide(weight: Matrix, kernel: Sequence[int], axes: Sequence[int] = ()) -> Matrix:
    """A weight [outputs, inputs, …] with a kernel of length 1 along all axes but `axes`."""
    lengths = [length if axis in axes else 1 for axis, length in enumerate(kernel)]
    return weight.reshape(*weight.shape[:2], *lengths)


def balanced(first: Stage, later: Stage, spread: Matrix) -> tuple[Stage, Stage]:
    """The same two stages with the channels between them rescaled, so that both suit 8 bits.

    `spread` has the standard deviation of each channel between them. Afterwards it equals the norm of the weights that
    read the channel, as in cross-layer equalization (Nagel et al. 2019, https://arxiv.org/abs/1906.04721).
    """
    flat = later.weight.reshape(later.weight.shape[0], later.weight.shape[1], -1)
    norms = np.sqrt(np.square(flat).sum((0, 2)))
    scale = np.where((spread > _TINY) & (norms > _TINY), np.sqrt(spread / np.maximum(norms, _TINY)), 1.0)
    ones = [1] * (first.weight.ndim - 2)
    smaller = replace(first, weight=first.weight / scale.reshape(-1, 1, *ones))
    return smaller, replace(later, weight=later.weight * scale.reshape(1, -1, *ones))
