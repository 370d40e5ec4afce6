"""Layers side by side: the number type and the bytes of each stored tensor, where the files name their tensors.

A quantized tensor has another name than the float one that it replaces, and comes with scales and zero points. All of
them count as the layer that they belong to, whose number type is that of its largest tensor.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from apps.agents.contracts.reports.model import MOST_WEIGHTS, ModelSummary, TensorSpec
from apps.agents.contracts.values import Value
from apps.optimization.localized import number_of_bytes
from apps.optimization.side_by_side.difference import Compared, Difference
from apps.optimization.side_by_side.sides import Side

MOST_ROWS = 200
_BITS = re.compile(r"(\d+)")
_BELONGING = re.compile(r"([._](quantized|scales?|zero_points?|fp16|float16|Q[48]|DQ_Q[48]))+$", re.IGNORECASE)


class LayerCell(Value):
    """One layer of one side; empty words if its file has no such tensor."""

    dtype: str = ""
    bytes: float | None = None
    words: str = "–"


class LayerRow(Compared):
    """One layer of all sides, in their order."""

    name: str
    cells: tuple[LayerCell, ...]


class LayerDiff(Value):
    """Layers side by side."""

    rows: tuple[LayerRow, ...]
    """Those that differ first; at most `MOST_ROWS`."""
    further: int
    """How many layers there are beyond those rows."""
    unnamed: tuple[str, ...]
    """The titles of the sides whose tensors are not known."""

    @property
    def differing(self) -> tuple[LayerRow, ...]:
        return tuple(row for row in self.rows if row.differs)


def layers_of(sides: Sequence[Side]) -> LayerDiff | None:
    """`None` if fewer than two sides name their tensors: there is nothing to compare."""
    found = [_layers(side) for side in sides]
    if sum(bool(layers) for layers in found) < 2:
        return None
    names = dict.fromkeys(name for layers in found for name in layers)
    rows = [_row(name, found) for name in names]
    rows.sort(key=lambda row: not row.differs)
    unnamed = tuple(side.title for side, layers in zip(sides, found, strict=True) if not layers)
    return LayerDiff(rows=tuple(rows[:MOST_ROWS]), further=max(0, len(rows) - MOST_ROWS), unnamed=unnamed)


def _row(name: str, sides: Sequence[Mapping[str, LayerCell]]) -> LayerRow:
    cells = tuple(layers.get(name, LayerCell()) for layers in sides)
    known = [cell for cell, layers in zip(cells, sides, strict=True) if layers]
    if len({(cell.dtype, cell.bytes) for cell in known}) > 1:
        found = Difference.DIFFERS
    else:
        found = Difference.SAME if len(known) == len(sides) else Difference.NOT_KNOWN
    return LayerRow(name=name, cells=cells, difference=found)


def _layers(side: Side) -> dict[str, LayerCell]:
    return stored_layers(side.summary) if side.summary else {}


def stored_layers(summary: ModelSummary) -> dict[str, LayerCell]:
    """The tensors of a file by name, each with its scales; empty if they are not named or too many to be listed."""
    weights = summary.weights
    if not weights or len(weights) >= MOST_WEIGHTS:
        return {}
    parts: dict[str, list[TensorSpec]] = {}
    for tensor in weights:
        parts.setdefault(_BELONGING.sub("", tensor.name), []).append(tensor)
    return {name: _cell(tensors) for name, tensors in parts.items()}


def _cell(tensors: Sequence[TensorSpec]) -> LayerCell:
    dtype = max(tensors, key=_bytes).dtype
    size = sum(map(_bytes, tensors))
    return LayerCell(dtype=dtype, bytes=size, words=f"{dtype}, {number_of_bytes(size)}")


def _bytes(tensor: TensorSpec) -> float:
    elements = math.prod(axis for axis in tensor.shape if isinstance(axis, int))
    bits = _BITS.search(tensor.dtype)
    return elements * (int(bits[1]) if bits else 8) / 8
