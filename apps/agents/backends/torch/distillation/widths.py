"""The widths of a transformer that its configuration states, and those of a narrower student.

Every width shrinks by the same share. The width of a head stays, as in Minitron (Muralidharan et al. 2024,
https://arxiv.org/abs/2407.14679): the student has fewer heads instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from transformers import PretrainedConfig

from apps.agents.backends.torch.width.expressing import (
    HEAD_WIDTH,
    HEADS,
    KEY_HEADS,
    Inexpressible,
    feed_forward_widths,
)

HIDDEN = "hidden_size"
_MULTIPLE = 8
"""Of features, and of hidden channels where heads do not determine them. Kernels for odd widths are slow."""


@dataclass(frozen=True)
class Widths:
    """Of one model. Heads of a group share a key and a value."""

    hidden: int
    groups: int
    in_group: int
    head_width: int
    features: Mapping[str, int]
    """By the name of the number: the width of feed-forward blocks."""

    @property
    def heads(self) -> int:
        return self.groups * self.in_group


def widths_of(config: PretrainedConfig) -> Widths:
    """Raises `Inexpressible` if the configuration does not state them."""
    hidden, heads = getattr(config, HIDDEN, None), getattr(config, HEADS, None)
    if not isinstance(hidden, int) or not isinstance(heads, int):
        raise Inexpressible(f"its configuration does not state one {HIDDEN} and one {HEADS} for all layers")
    groups = getattr(config, KEY_HEADS, None) or heads
    width = getattr(config, HEAD_WIDTH, None) or hidden // heads
    return Widths(hidden, groups, heads // groups, width, feed_forward_widths(config))


def narrower(widths: Widths, left: float) -> Widths:
    """The widths nearest to the share `left` of each. Raises `Inexpressible` if none is smaller."""
    groups = max(1, round(left * widths.groups))
    made = replace(widths, groups=groups, features={one: _near(left * of) for one, of in widths.features.items()})
    fills_up = widths.heads * widths.head_width == widths.hidden
    made = replace(made, hidden=made.heads * made.head_width if fills_up else _near(left * widths.hidden))
    if made.hidden >= widths.hidden:
        unit = f"{widths.in_group * widths.head_width} channels, as many as belong to one key"
        raise Inexpressible(f"{left:.0%} of its {widths.hidden} hidden channels are all of them in steps of {unit}")
    return made


def numbers(config: PretrainedConfig, widths: Widths) -> dict[str, int]:
    """The configuration's own names of these widths. What it does not state is left out."""
    wanted = {HIDDEN: widths.hidden, HEADS: widths.heads, KEY_HEADS: widths.groups, HEAD_WIDTH: widths.head_width}
    stated = {name: value for name, value in wanted.items() if isinstance(getattr(config, name, None), int)}
    return {config.attribute_map.get(name, name): value for name, value in {**stated, **widths.features}.items()}


def _near(width: float) -> int:
    return max(_MULTIPLE, round(width / _MULTIPLE) * _MULTIPLE)
