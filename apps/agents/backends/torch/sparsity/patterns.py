"""Which weights become zero: the lowest scores, as an exact share or as N in every M of a row."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

UNSTRUCTURED, TWO_IN_FOUR = "unstructured", "2:4"


@dataclass(frozen=True)
class Pattern:
    """`group` is M of an N:M pattern, in which half of every M neighbours in a row are zero; `None` without one."""

    share: float
    """The share of a layer's weights that become zero, from 0 to 1."""
    group: int | None = None

    @classmethod
    def named(cls, name: str, share: float) -> Pattern:
        """The pattern of a technique's parameters. 2:4 determines its own share."""
        return cls(0.5, 4) if name == TWO_IN_FOUR else cls(share)

    def with_share(self, share: float) -> Pattern:
        """The same pattern with another share."""
        return Pattern(share, self.group)

    def zeros(self, weights: int) -> int:
        """How many of this number of weights become zero."""
        return round(self.share * weights)

    def lowest(self, scores: Tensor, *, by_row: bool) -> Tensor:
        """Where the weights become zero, `[rows, columns]` of booleans.

        Without a group: the lowest of each row, or of the whole layer.
        """
        if self.group is not None:
            grouped = scores.reshape(-1, self.group)
            return _lowest(grouped, self.group // 2).reshape(scores.shape)
        if by_row:
            return _lowest(scores, self.zeros(scores.shape[1]))
        return _lowest(scores.reshape(1, -1), self.zeros(scores.numel())).reshape(scores.shape)

    def fault(self, weight: Tensor) -> str | None:
        """How `weight`, `[rows, columns]`, deviates, in words; `None` if it does not."""
        if self.group is not None:
            left = (weight.reshape(-1, self.group) != 0).sum(1)
            excess = int((left > self.group // 2).sum())
            allowed = self.group // 2
            return f"{excess:,} of its groups of {self.group} keep more than {allowed} weights" if excess else None
        found = int((weight == 0).sum())
        wanted = weight.shape[0] * self.zeros(weight.shape[1])
        wanted = min(wanted, self.zeros(weight.numel()))
        return None if found >= wanted else f"{found:,} of its weights are zero, not {wanted:,}"


def _lowest(scores: Tensor, count: int) -> Tensor:
    """The `count` lowest of each row. Of equal scores, the first go: the count is exact, and the choice repeatable."""
    order = scores.argsort(dim=1, stable=True)[:, :count]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order, True)
