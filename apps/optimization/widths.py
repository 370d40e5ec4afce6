"""The cut of a pruning technique, ready to be drawn: channels per layer, and the remaining work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from pydantic import TypeAdapter, ValidationError

MOST_BARS = 40
"""The most layers drawn: those that lose most. The API has everything that the technique reported."""
CHANNELS = "channels_by_layer"
WORK: dict[str, Promise] = {
    "macs": _("Multiply-accumulates"),
    "parameters": _("Weights that are not zero"),
    "channels": _("Channels"),
}
_LAYERS: TypeAdapter[list[tuple[str, int, int]]] = TypeAdapter(list[tuple[str, int, int]])
_COUNTS: TypeAdapter[dict[str, int]] = TypeAdapter(dict[str, int])


@dataclass(frozen=True)
class LayerWidth:
    """One layer. Percentages are of the widest layer before the cut."""

    name: str
    before: int
    after: int
    before_percent: float
    after_percent: float


@dataclass(frozen=True)
class Left:
    """A count before and after the cut."""

    label: str
    before: int
    after: int

    @property
    def removed(self) -> float:
        """The share that is removed, 0 to 1."""
        return 1 - self.after / self.before if self.before else 0.0


@dataclass(frozen=True)
class Cut:
    """`layers` are in the graph's order. `further` is the number of layers left out."""

    work: tuple[Left, ...]
    layers: tuple[LayerWidth, ...]
    further: int


def cut_of(evidence: Mapping[str, Any]) -> Cut:
    """The cut described by `evidence`. Techniques write it, so unexpected values are left out."""
    layers = _recorded(evidence)
    lost = sorted(layers, key=lambda layer: layer[2] - layer[1])[:MOST_BARS]
    shown = [layer for layer in layers if layer in lost][:MOST_BARS]
    widest = max((before for _, before, _ in shown), default=0) or 1
    bars = (LayerWidth(*layer, 100 * layer[1] / widest, 100 * layer[2] / widest) for layer in shown)
    return Cut(_work(evidence), tuple(bars), len(layers) - len(shown))


def beside_cut(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """The rest of `evidence`: everything that `cut_of` does not show."""
    cut = cut_of(evidence)
    drawn = {CHANNELS} if cut.layers else set()
    labels = {left.label for left in cut.work}
    for name, label in WORK.items():
        drawn |= {f"{name}_{part}" for part in ("before", "after", "removed")} if str(label) in labels else set()
    return {name: value for name, value in evidence.items() if name not in drawn}


def _recorded(evidence: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    recorded = evidence.get(CHANNELS)
    if isinstance(recorded, Mapping):
        recorded = [[name, *pair] for name, pair in recorded.items() if isinstance(pair, (list, tuple))]
    try:
        return _LAYERS.validate_python(recorded)
    except ValidationError:
        return []


def _work(evidence: Mapping[str, Any]) -> tuple[Left, ...]:
    found = []
    for name, label in WORK.items():
        pair = {part: evidence.get(f"{name}_{part}") for part in ("before", "after")}
        try:
            found.append(Left(str(label), **_COUNTS.validate_python(pair)))
        except ValidationError:
            continue
    return tuple(found)
