"""Channels of a graph that must be cut together: a union-find with the reasons why some must stay."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
"""The numbers of the channels along an axis, one per position."""
Kept = NDArray[np.bool_]
"""For each channel number, whether it stays."""


@dataclass(frozen=True)
class Axis:
    """The axis of a tensor that holds its channels, and their numbers."""

    place: int
    ids: Ids


class Channels:
    """Every channel made by a layer has a number. Channels that are added to each other are joined."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._reasons: dict[int, str] = {}
        """Why a class of channels must stay, by its root."""

    def new(self, count: int, reason: str | None = None) -> Ids:
        """`count` new channels, each on its own. With a `reason` they must stay."""
        ids = np.arange(len(self._parent), len(self._parent) + count, dtype=np.int64)
        self._parent.extend(int(one) for one in ids)
        if reason is not None:
            self.pin(ids, reason)
        return ids

    def join(self, ids: Ids, others: Ids) -> None:
        """Couple channels pairwise: they are cut together or stay together."""
        for one, other in zip(ids.tolist(), others.tolist(), strict=True):
            a, b = sorted((self._root(one), self._root(other)))
            if a == b:
                continue
            self._parent[b] = a
            if (reason := self._reasons.pop(b, None)) is not None:
                self._reasons.setdefault(a, reason)

    def pin(self, ids: Iterable[int] | Ids, reason: str) -> None:
        """These channels must stay. Of several reasons, the first is reported."""
        for one in np.unique(np.asarray(ids, np.int64)).tolist():
            self._reasons.setdefault(self._root(one), reason)

    def roots(self, ids: Ids | None = None) -> Ids:
        """The class of each of `ids`, or of all channels, as the number of the class's first channel."""
        wanted = range(len(self._parent)) if ids is None else ids.tolist()
        return np.array([self._root(one) for one in wanted], np.int64)

    def reason(self, root: int) -> str | None:
        """Why the class must stay; `None` if it can be cut."""
        return self._reasons.get(root)

    def _root(self, one: int) -> int:
        while self._parent[one] != one:
            self._parent[one] = self._parent[self._parent[one]]
            one = self._parent[one]
        return one
