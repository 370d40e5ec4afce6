"""The sub-networks of a model: what may be chosen, and how a choice is drawn, named and read again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import prod

import numpy as np

Values = tuple[int, ...]
"""One sub-network: the value of each dimension, in their order."""
MOST_OPTIONS = 8
"""Of one dimension. More would be too alike to tell apart."""


class Kind(StrEnum):
    WIDTH = "width"
    """Channels of layers that must have equally many."""
    HEADS = "heads"
    """Heads of an attention."""
    KERNEL = "kernel"
    """Weights of a convolution's kernel along each axis."""
    BLOCK = "block"
    """1 if a residual block is computed, 0 if only its shortcut is."""


COUNTED = (Kind.WIDTH, Kind.HEADS)
"""Kinds that say how many of something there are, of which the most important come first."""


@dataclass(frozen=True)
class Dimension:
    """One choice. `options` are in ascending order; the last one is the network as it is."""

    kind: Kind
    name: str
    """The first layer that it concerns."""
    options: tuple[int, ...]
    layers: tuple[str, ...] = ()
    """All layers that it concerns."""
    inside: tuple[str, ...] = ()
    """The blocks that contain all of these: if one of them is skipped, the choice does not matter."""


@dataclass(frozen=True)
class Space:
    dimensions: tuple[Dimension, ...]

    @property
    def largest(self) -> Values:
        """The network as it is."""
        return tuple(one.options[-1] for one in self.dimensions)

    @property
    def smallest(self) -> Values:
        return self.plain(tuple(one.options[0] for one in self.dimensions))

    @property
    def size(self) -> int:
        """The number of sub-networks."""
        return prod(len(one.options) for one in self.dimensions)

    def plain(self, values: Values) -> Values:
        """The same sub-network with the last option wherever the choice does not matter."""
        pairs = list(zip(self.dimensions, values, strict=True))
        skipped = {one.name for one, value in pairs if one.kind is Kind.BLOCK and not value}
        return tuple(one.options[-1] if skipped & set(one.inside) else value for one, value in pairs)

    def random(self, random: np.random.Generator) -> Values:
        return self.plain(tuple(int(random.choice(one.options)) for one in self.dimensions))

    def near(self, share: float, random: np.random.Generator, spread: float = 0.25) -> Values:
        """A random sub-network whose widths and heads are about `share` of the whole, each within `spread` of it."""
        drawn = tuple(
            _closest(one.options, one.options[-1] * min(1.0, max(0.0, share + random.uniform(-spread, spread))))
            if one.kind in COUNTED
            else int(random.choice(one.options))
            for one in self.dimensions
        )
        return self.plain(drawn)

    def uniform(self, share: float) -> Values:
        """Every width, and the heads of every attention, the same `share` of the whole, all else as it is: uniform
        width scaling."""
        return tuple(
            _closest(one.options, share * one.options[-1]) if one.kind in COUNTED else one.options[-1]
            for one in self.dimensions
        )

    def named(self, values: Values) -> tuple[str, ...]:
        """As texts `kind:layer=value`, from which `read` finds it again."""
        return tuple(f"{one.kind}:{one.name}={value}" for one, value in zip(self.dimensions, values, strict=True))

    def read(self, names: Iterable[str]) -> Values:
        """The sub-network with these names; what they leave out stays as it is. Raises `ValueError`."""
        known = {f"{one.kind}:{one.name}": place for place, one in enumerate(self.dimensions)}
        found = list(self.largest)
        for name in names:
            where, _, text = name.rpartition("=")
            if where not in known:
                raise ValueError(f"{name!r} names no choice of this model; it has {', '.join(known)}")
            options = self.dimensions[known[where]].options
            if not text.isdigit() or int(text) not in options:
                raise ValueError(f"{name!r} is not one of {', '.join(map(str, options))}")
            found[known[where]] = int(text)
        return tuple(found)


def widths_between(narrowest: float, width: int, multiple: int) -> tuple[int, ...]:
    """Multiples of `multiple` from this share of `width` on, evenly spread, and `width` itself. Just that if there is
    nothing between."""
    least = max(multiple, int(np.ceil(narrowest * width / multiple)) * multiple)
    every = [*range(least, width, multiple), width]
    if len(every) > MOST_OPTIONS:
        places = np.linspace(0, len(every) - 1, MOST_OPTIONS).round().astype(int)
        every = [every[place] for place in places]
    return tuple(every)


def _closest(options: Sequence[int], wanted: float) -> int:
    return min(options, key=lambda one: (abs(one - wanted), one))
