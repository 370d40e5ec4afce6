"""How many channels each group keeps, so that a share of the multiply-accumulates is removed at the least loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from apps.agents.techniques.channel_pruning.groups import ChannelLayer, Group, Traced
from apps.agents.techniques.channel_pruning.selection import Ranking

LEAST_SHARE = 0.125
"""The share of a group's channels that stays in any case."""
MOST_STEPS = 64
"""The most widths that are considered for one group. In wide groups, not every multiple is."""
_AHEAD = 4
"""Widths that one decision looks ahead."""
Widths = dict[str, int]
"""How many channels each group keeps, by its name."""


@dataclass(frozen=True)
class Work:
    """The multiply-accumulates of one example by layer, and how they depend on the widths of groups."""

    macs: Mapping[str, int]
    """By the name of the layer. Work outside of layers has its own name and stays."""
    shares: Mapping[str, tuple[Mapping[str, float], ...]]
    """By layer, for its input and its output: the share of channels that belongs to each group."""
    widths: Mapping[str, int]
    """The groups' widths before anything is cut."""

    def left(self, kept: Mapping[str, int]) -> float:
        """The remaining multiply-accumulates if the groups keep these numbers of channels."""
        return sum(macs * self._factor(name, kept) for name, macs in self.macs.items())

    def removed(self, kept: Mapping[str, int]) -> float:
        """The share that is removed, 0 to 1."""
        whole = sum(self.macs.values())
        return 1 - self.left(kept) / whole if whole else 0.0

    def _factor(self, name: str, kept: Mapping[str, int]) -> float:
        factor = 1.0
        for side in self.shares.get(name, ()):
            factor *= 1 - sum(
                share * (1 - kept.get(one, self.widths[one]) / self.widths[one]) for one, share in side.items()
            )
        return factor


def work_of(trace: Traced[ChannelLayer], groups: Sequence[Group], macs: Mapping[str, int]) -> Work:
    """The work of a traced model; `macs` by layer. A depthwise layer's work is proportional to its channels once."""
    by_root = {int(root): group.name for group in groups for root in group.roots}
    shares = {}
    for layer in trace.layers:
        sides = (layer.ids_out,) if layer.depthwise or layer.ids_in is None else (layer.ids_in, layer.ids_out)
        shares[layer.name] = tuple(_shares(trace.channels.roots(side).tolist(), by_root) for side in sides)
    return Work(macs, shares, {group.name: group.width for group in groups})


def _shares(roots: Sequence[int], by_root: Mapping[int, str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for root in roots:
        if root in by_root:
            found[by_root[root]] = found.get(by_root[root], 0.0) + 1 / len(roots)
    return found


def steps_of(width: int, multiple_of: int) -> list[int]:
    """The widths that a group may have, in descending order: its own, then multiples down to `LEAST_SHARE`."""
    floor = max(1, round(LEAST_SHARE * width))
    step = multiple_of * -(-width // (MOST_STEPS * multiple_of))
    narrower = [count for count in range(step, width, step) if count >= floor]
    return [width, *reversed(narrower)]


def uniform(groups: Sequence[Group], work: Work, macs_removed: float, multiple_of: int) -> Widths:
    """Every group keeps the same share, the largest that suffices, rounded to the nearest width that it may have."""
    found = {group.name: group.width for group in groups}
    for share in np.linspace(1.0, 0.0, 201):
        found = {group.name: _nearest(steps_of(group.width, multiple_of), share * group.width) for group in groups}
        if enough(work, found, macs_removed):
            break
    return found


def by_sensitivity(
    groups: Sequence[Group],
    work: Work,
    rankings: Mapping[str, Ranking],
    sensitivity: Mapping[str, float],
    macs_removed: float,
    multiple_of: int,
    widest: Widths | None = None,
) -> Widths:
    """Step by step, the group that costs the output least for the work saved becomes one width narrower.

    No group is wider than in `widest`, which must contain widths that the group may have.
    """
    kept = dict(widest) if widest else {group.name: group.width for group in groups}
    steps = {
        group.name: [width for width in steps_of(group.width, multiple_of) if width <= kept[group.name]]
        for group in groups
    }

    def noise(name: str, width: int) -> float:
        return sensitivity[name] * float(rankings[name].loss[width])

    def cost(name: str) -> float:
        """Noise per multiply-accumulate of the cheapest among the next few widths."""
        now, before = kept[name], work.left(kept)
        lower = [width for width in steps[name] if width < now][:_AHEAD]
        rates = [(noise(name, w) - noise(name, now)) / max(1.0, before - work.left({**kept, name: w})) for w in lower]
        return min(rates, default=np.inf)

    while not enough(work, kept, macs_removed):
        name = min(kept, key=cost)
        if not np.isfinite(cost(name)):
            break
        kept[name] = max(width for width in steps[name] if width < kept[name])
    return _given_back(kept, steps, work, noise, macs_removed)


def _given_back(
    kept: Widths,
    steps: Mapping[str, list[int]],
    work: Work,
    noise: Callable[[str, int], float],
    macs_removed: float,
) -> Widths:
    """Widen groups again whose cut became unnecessary by a later, larger step, the most costly first."""
    for name in sorted(kept, key=lambda one: -noise(one, kept[one])):
        for width in steps[name]:
            if width > kept[name] and enough(work, {**kept, name: width}, macs_removed):
                kept[name] = width
                break
    return kept


def enough(work: Work, kept: Mapping[str, int], macs_removed: float) -> bool:
    """Whether at least this share of all multiply-accumulates is removed."""
    return work.left(kept) <= (1 - macs_removed) * sum(work.macs.values()) * (1 + 1e-9)


def _nearest(widths: Sequence[int], wanted: float) -> int:
    return min(widths, key=lambda width: (abs(width - wanted), width))
