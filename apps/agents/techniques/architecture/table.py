"""The latency of any sub-network from a table of its operators, measured on this machine.

Each layer is timed alone at a few widths of its inputs and outputs; between them, times are interpolated. A network is
more than the sum of its layers (what lies between them, and what the runtime fuses), so the sum is corrected by a few
whole sub-networks that were timed: least squares over the sum, the numbers that lie between layers (which are laid out
anew for a layer alone, and not in a network), multiply-accumulates, the square of the sum (what is large leaves the
caches), and a constant.
The error is measured on other sub-networks. The method follows nn-Meter (https://doi.org/10.1145/3458864.3467882).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

POINTS = (8, 6, 4)
"""Widths at which each axis of a layer is timed: as many as keep the table within `MOST_OPERATORS`. Kernels work in
blocks of channels, so times between two widths do not lie on a line."""
MOST_OPERATORS = 1000
CLOSE = 0.1
"""A prediction this close to the measurement, as a share of it, counts as right."""
PULL = 0.03
_DECIMALS = 5
_LEAST_MS = 1e-4


@dataclass(frozen=True)
class Operator:
    """A layer at one width: what is looked up."""

    layer: str
    inputs: int
    outputs: int
    kernel: int
    """Weights along each axis; 0 for a matrix product."""


@dataclass(frozen=True)
class Work:
    """What a sub-network consists of."""

    operators: tuple[Operator, ...]
    between: int
    """Numbers that lie between layers, for one example."""
    macs: int


Time = Callable[[Sequence[Operator]], Sequence[float]]
"""Times each of some operators alone, in milliseconds."""


Counts = Mapping[tuple[str, int], tuple[Sequence[int], Sequence[int]]]
"""By layer and kernel the numbers of inputs and of outputs that it may have; no outputs if they are always its inputs,
as in a depthwise layer."""


@dataclass(frozen=True)
class Sheet:
    """One layer with one kernel: times in ms at `inputs` × `outputs`."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    times_ms: tuple[tuple[float, ...], ...]

    def at(self, inputs: int, outputs: int) -> float:
        """Interpolated, along both axes."""
        across = [float(np.interp(outputs, self.outputs, row)) for row in self.times_ms]
        return float(np.interp(inputs, self.inputs, across))


@dataclass(frozen=True)
class Table:
    """Predicts latencies. `factors` are those of the sum in ms, of millions of numbers between layers and of
    multiply-accumulates, the square of the sum, and a constant."""

    sheets: Mapping[tuple[str, int], Sheet]
    factors: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 0.0)

    def latency_ms(self, work: Work) -> float:
        return max(_LEAST_MS, float(np.dot(self._features(work), self.factors)))

    def corrected(self, works: Sequence[Work], measured_ms: Sequence[float]) -> Self:
        """With factors that fit these sub-networks best, each by its relative error, and that are pulled a little
        towards the plain sum: a few noisy times do not tell much of five factors."""
        rows = np.array([self._features(work) for work in works]) / np.asarray(measured_ms)[:, None]
        sizes = np.abs(rows).mean(0)
        pull = PULL * len(works) ** 0.5 * np.eye(len(sizes))
        plain = PULL * len(works) ** 0.5 * np.eye(len(sizes))[0] * sizes[0]
        held = np.vstack([rows / np.where(sizes, sizes, 1.0), pull])
        factors = np.linalg.lstsq(held, np.concatenate([np.ones(len(works)), plain]), rcond=None)[0]
        return type(self)(self.sheets, tuple(map(float, factors / np.where(sizes, sizes, 1.0))))

    def plain(self) -> dict[str, Any]:
        sheets = [
            [layer, kernel, list(sheet.inputs), list(sheet.outputs), [list(row) for row in sheet.times_ms]]
            for (layer, kernel), sheet in self.sheets.items()
        ]
        return {"sheets": sheets, "factors": list(self.factors)}

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Self:
        """What `plain` wrote."""
        sheets = {
            (layer, kernel): Sheet(tuple(inputs), tuple(outputs), tuple(map(tuple, rows)))
            for layer, kernel, inputs, outputs, rows in plain["sheets"]
        }
        return cls(sheets, tuple(plain["factors"]))

    @property
    def entries(self) -> int:
        return sum(len(sheet.inputs) * len(sheet.outputs) for sheet in self.sheets.values())

    def _features(self, work: Work) -> NDArray[np.float64]:
        total = sum(self.sheets[one.layer, one.kernel].at(one.inputs, one.outputs) for one in work.operators)
        return np.array([total, work.between / 1e6, work.macs / 1e6, total**2, 1.0])


@dataclass(frozen=True)
class Deviation:
    """Predicted against measured latencies of sub-networks that did not correct the table."""

    pairs: tuple[tuple[float, float], ...] = field(default=())
    """Predicted and measured, in ms."""

    @property
    def errors(self) -> list[float]:
        """Relative to the measurement; positive if too high."""
        return [predicted / measured - 1 for predicted, measured in self.pairs]

    @property
    def within(self) -> float:
        """The share whose error is at most `CLOSE`."""
        return sum(abs(error) <= CLOSE for error in self.errors) / max(1, len(self.pairs))

    def plain(self) -> dict[str, Any]:
        errors = [abs(error) for error in self.errors]
        return {
            "sub_networks": len(self.pairs),
            "within_ten_percent": round(self.within, 4),
            "median_error": round(float(np.median(errors)), 4) if errors else None,
            "largest_error": round(max(errors), 4) if errors else None,
            "pairs_ms": [[round(one, _DECIMALS), round(two, _DECIMALS)] for one, two in self.pairs],
        }


def points(counts: Sequence[int], most: int) -> tuple[int, ...]:
    """At most so many of the possible `counts`, the lowest and the highest among them."""
    every = sorted(set(counts))
    if len(every) <= most:
        return tuple(every)
    chosen = np.linspace(0, len(every) - 1, most).round().astype(int)
    return tuple(every[place] for place in chosen)


def measured(layers: Counts, time: Time, tell: Callable[[float], object]) -> Table:
    """Times each layer and kernel at some of its possible counts of inputs and outputs."""
    sheets, most = {}, _points_that_fit(layers)
    for place, ((layer, kernel), (inputs, outputs)) in enumerate(layers.items()):
        across, down = points(inputs, most), points(outputs, most)
        if not outputs:
            row = tuple(time([Operator(layer, one, one, kernel) for one in across]))
            sheets[layer, kernel] = Sheet((0,), across, (row,))
        else:
            times = time([Operator(layer, one, two, kernel) for one in across for two in down])
            rows = tuple(tuple(times[start : start + len(down)]) for start in range(0, len(times), len(down)))
            sheets[layer, kernel] = Sheet(across, down, rows)
        tell((place + 1) / len(layers))
    return Table(sheets)


def _points_that_fit(layers: Counts) -> int:
    for most in POINTS:
        pairs = ((points(inputs, most), points(outputs, most)) for inputs, outputs in layers.values())
        if sum(len(across) * max(1, len(down)) for across, down in pairs) <= MOST_OPERATORS:
            return most
    return POINTS[-1]
