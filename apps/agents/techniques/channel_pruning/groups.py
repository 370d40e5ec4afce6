"""Groups of channels that share a width, because the same layers make them. Which can be cut, and which cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from apps.agents.techniques.channel_pruning.channels import Channels, Ids, Kept


class ChannelLayer(Protocol):
    """A layer whose weight has an axis of channels."""

    @property
    def name(self) -> str: ...

    @property
    def ids_in(self) -> Ids | None:
        """The channels that it reads; `None` if they are unknown."""

    @property
    def ids_out(self) -> Ids: ...

    @property
    def depthwise(self) -> bool:
        """Whether it passes its channels on, each filtered alone, instead of mixing them."""


_REASONS_GIVEN = 3
AnyLayer = TypeVar("AnyLayer", bound=ChannelLayer)
AnyLayerOut = TypeVar("AnyLayerOut", bound=ChannelLayer, covariant=True)


class Traced(Protocol[AnyLayerOut]):
    """A model whose channels were followed, with its layers in the order of the graph."""

    @property
    def channels(self) -> Channels: ...

    @property
    def layers(self) -> Sequence[AnyLayerOut]: ...


@dataclass(frozen=True)
class Group:
    """Classes of channels that the same layers make. Cutting one class takes one channel from each of them."""

    name: str
    """The names of the layers that make them: `blocks.0.body.3 + blocks.0.shortcut.0`."""
    roots: Ids
    """The group's classes, in the order of the first layer's channels."""
    makers: tuple[str, ...]
    """Names of the layers that make its channels, including depthwise layers that pass them on."""
    reason: str | None = None
    """Why it must stay whole; `None` if it can be cut."""

    @property
    def width(self) -> int:
        return len(self.roots)


def groups_of(trace: Traced[ChannelLayer]) -> list[Group]:
    """All groups of channels that a layer makes, in the graph's order."""
    makers: dict[int, list[str]] = {}
    for layer in trace.layers:
        for root in np.unique(trace.channels.roots(layer.ids_out)).tolist():
            makers.setdefault(root, []).append(layer.name)
    by_makers: dict[tuple[str, ...], list[int]] = {}
    for root in sorted(makers):
        by_makers.setdefault(tuple(makers[root]), []).append(root)
    return [_group(trace, names, roots) for names, roots in by_makers.items()]


def _group(trace: Traced[ChannelLayer], makers: tuple[str, ...], roots: list[int]) -> Group:
    reasons = (reason for root in roots if (reason := trace.channels.reason(root)) is not None)
    return Group(" + ".join(makers), np.array(roots, np.int64), makers, next(reasons, None))


def readers_of(trace: Traced[AnyLayer], group: Group) -> list[AnyLayer]:
    """The layers that mix the group's channels. Depthwise layers only pass them on, so they are not among them."""
    own = set(group.roots.tolist())
    return [
        layer
        for layer in trace.layers
        if not layer.depthwise
        and layer.ids_in is not None
        and own.intersection(trace.channels.roots(layer.ids_in).tolist())
    ]


def everything(trace: Traced[ChannelLayer]) -> Kept:
    """All channels stay."""
    return np.ones(len(trace.channels.roots()), bool)


def without(trace: Traced[ChannelLayer], kept: Kept, roots: Ids) -> Kept:
    """`kept` without the classes `roots`."""
    return kept & ~np.isin(trace.channels.roots(), roots)


def is_cuttable(group: Group) -> bool:
    """Whether the group can lose a channel."""
    return group.reason is None and group.width > 1


def why_nothing(uncut: Sequence[Group]) -> str:
    """Why no group can be cut, with the reasons for the first few."""
    if not uncut:
        return "it has no convolution or matrix product with stored weights whose channels can be followed"
    given = [f"{group.name} {group.reason}" for group in uncut[:_REASONS_GIVEN]]
    more = len(uncut) - len(given)
    return "; ".join(given) + (f"; and {more} more" if more else "")
