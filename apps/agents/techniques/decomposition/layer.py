"""A convolution or a matrix product, described by its weight and by the places at which it is applied."""

from __future__ import annotations

import math
from dataclasses import dataclass

from apps.agents.measuring.statistics.moments import Matrix

MOST_FEATURES = 8192
"""A layer whose outputs read more numbers is left: its inputs' covariance would take half a gigabyte."""


@dataclass(frozen=True)
class DenseLayer:
    """A layer whose every output reads every input channel."""

    name: str
    weight: Matrix
    """[outputs, inputs, *kernel]. A matrix product has no kernel."""
    before: tuple[int, ...] = ()
    """Lengths of the input along the kernel's axes."""
    after: tuple[int, ...] = ()
    """Lengths of the output along the kernel's axes."""
    rows: int = 1
    """Rows of one example that a matrix product multiplies."""

    @property
    def outputs(self) -> int:
        return int(self.weight.shape[0])

    @property
    def inputs(self) -> int:
        return int(self.weight.shape[1])

    @property
    def kernel(self) -> tuple[int, ...]:
        return tuple(self.weight.shape[2:])

    @property
    def axes(self) -> tuple[int, ...]:
        """The numbers of the kernel's axes."""
        return tuple(range(len(self.kernel)))

    @property
    def matrix(self) -> Matrix:
        """[outputs, features]: the features are the input channels, each with its places in the kernel."""
        return self.weight.reshape(self.outputs, -1)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one example."""
        return self.rows * math.prod(self.after) * int(self.weight.size)
