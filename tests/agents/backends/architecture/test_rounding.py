"""Which multiple of channels a search takes, from what widths cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from apps.agents.backends.torch.architecture import subnetworks
from apps.agents.techniques.architecture.table import Operator


class Aligned:
    """A runtime that computes in blocks of so many channels: other widths cost as much as the next whole block."""

    threads = 1

    def __init__(self, block: int) -> None:
        self._block = block
        self.widths: list[int] = []

    def operators_ms(self, operators: Sequence[Operator]) -> list[float]:
        self.widths = [one.outputs for one in operators]
        blocks = [-(-width // self._block) for width in self.widths]
        return [1e-3 * (count * self._block) ** 2 for count in blocks]


@pytest.mark.parametrize("outputs", [16, 20, 64, 80, 100, 256, 1000])
def test_each_multiple_is_timed_at_a_width_that_no_larger_one_divides(
    outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subnetworks, "timed_operator", lambda place, operator, threads: operator)
    pictures = torch.zeros(1, 3, 8, 8)
    places = subnetworks.places_of(nn.Sequential(nn.Conv2d(3, outputs, 3)), (pictures,), 1)
    for block in subnetworks.MULTIPLES:
        watch: Any = Aligned(block)
        multiple, costs = subnetworks.rounding(places, watch)
        assert [width % 16 for width in watch.widths] == [4, 8, 0]
        # Half a block more costs little in a wide layer, so a smaller multiple may do as well.
        assert multiple == block or costs[str(multiple)] <= subnetworks.ABOUT_AS_FAST * min(costs.values())
    assert subnetworks.rounding(places, Aligned(16))[0] > 4 or outputs >= 256  # type: ignore[arg-type]
