"""The space of sub-networks: what may be chosen, and how a choice is named."""

from __future__ import annotations

import numpy as np
import pytest

from apps.agents.techniques.architecture.space import Dimension, Kind, Space, widths_between

SPACE = Space(
    (
        Dimension(Kind.WIDTH, "stem", (8, 16, 32), ("stem",)),
        Dimension(Kind.WIDTH, "body", (8, 64), ("body",), inside=("body",)),
        Dimension(Kind.KERNEL, "stem", (3, 5), ("stem",)),
        Dimension(Kind.BLOCK, "body", (0, 1), ("body",)),
    )
)


def test_a_sub_network_is_read_from_its_names() -> None:
    values = (16, 8, 3, 1)
    assert SPACE.named(values) == ("width:stem=16", "width:body=8", "kernel:stem=3", "block:body=1")
    assert SPACE.read(SPACE.named(values)) == values
    assert SPACE.read(["kernel:stem=3"]) == (32, 64, 3, 1)


@pytest.mark.parametrize(
    ("name", "message"),
    [("width:head=8", "names no choice of this model"), ("width:stem=9", "is not one of 8, 16, 32")],
)
def test_names_that_are_no_choice_are_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SPACE.read([name])


def test_choices_inside_of_a_skipped_block_do_not_make_another_sub_network() -> None:
    assert SPACE.plain((8, 8, 3, 0)) == (8, 64, 3, 0)
    assert SPACE.smallest == (8, 64, 3, 0)
    assert SPACE.plain((8, 8, 3, 1)) == (8, 8, 3, 1)


def test_uniform_scaling_changes_widths_only() -> None:
    assert SPACE.uniform(0.5) == (16, 8, 5, 1)
    assert SPACE.uniform(1.0) == SPACE.largest


def test_draws_follow_the_generator() -> None:
    draws = [[SPACE.near(0.5, np.random.default_rng(seed)) for _ in range(4)] for seed in (1, 1)]
    assert draws[0] == draws[1]
    assert SPACE.size == 3 * 2 * 2 * 2


@pytest.mark.parametrize(
    ("narrowest", "width", "multiple", "wanted"),
    [
        (0.125, 32, 8, (8, 16, 24, 32)),
        (0.5, 30, 8, (16, 24, 30)),
        (0.125, 8, 8, (8,)),
        (0.125, 128, 8, (16, 32, 48, 64, 80, 96, 112, 128)),
    ],
)
def test_widths_are_multiples_and_the_whole(
    narrowest: float, width: int, multiple: int, wanted: tuple[int, ...]
) -> None:
    assert widths_between(narrowest, width, multiple) == wanted
