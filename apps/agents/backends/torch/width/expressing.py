"""What a model's configuration can express about its widths, found by building its outline with other numbers.

No architecture is named here. A weight follows a number of the configuration if its shape changes with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel

FEED_FORWARD = ("intermediate_size", "ffn_dim", "hidden_dim")
"""Names of the width of feed-forward blocks: in most models, in OPT, in DistilBERT."""
HEADS, KEY_HEADS, HEAD_WIDTH = "num_attention_heads", "num_key_value_heads", "head_dim"

Shape = tuple[int, ...]


class Inexpressible(Exception):
    """Why the configuration cannot express the change, as a clause."""


@dataclass(frozen=True)
class Axis:
    """An axis of a stored tensor that follows a number of the configuration, and its size before and after."""

    tensor: str
    place: int
    before: int
    after: int


def feed_forward_widths(config: PretrainedConfig) -> dict[str, int]:
    """The numbers of the configuration that may be the width of feed-forward blocks. Raises `Inexpressible`."""
    widths = {name: getattr(config, name, None) for name in FEED_FORWARD}
    if found := {name: width for name, width in widths.items() if isinstance(width, int)}:
        return found
    raise Inexpressible(f"its configuration does not state one width for all of them ({', '.join(FEED_FORWARD)})")


@dataclass(frozen=True)
class HeadCounts:
    """Heads and their groups: the heads of a group share a key and a value, and are removed together."""

    heads: int
    groups: int
    width: int

    @property
    def in_group(self) -> int:
        return self.heads // self.groups

    def with_groups(self, groups: int) -> Mapping[str, int]:
        """The configuration's numbers for this number of groups."""
        return {HEADS: groups * self.in_group, KEY_HEADS: groups, HEAD_WIDTH: self.width}


def head_counts(config: PretrainedConfig) -> HeadCounts:
    """Raises `Inexpressible` if the width of a head follows from the number of heads, as in BERT."""
    heads, width = getattr(config, HEADS, None), getattr(config, HEAD_WIDTH, None)
    if not isinstance(heads, int) or not isinstance(width, int):
        raise Inexpressible(
            f"its configuration has no {HEAD_WIDTH}: the number of heads times their width must be the hidden size, "
            "so fewer heads would be wider"
        )
    groups = getattr(config, KEY_HEADS, None) or heads
    if groups < 2:
        raise Inexpressible("all its heads share one key and value")
    return HeadCounts(heads, groups, width)


def altered(config: PretrainedConfig, numbers: Mapping[str, Any]) -> PretrainedConfig:
    """A copy with other numbers, checked by the library as on loading. Raises `Inexpressible`."""
    try:
        made: PretrainedConfig = type(config).from_dict({**deepcopy(config.to_dict()), **numbers})
    except Exception as error:  # The library's checks raise exceptions of any kind.
        asked = ", ".join(f"{name} {value}" for name, value in numbers.items())
        raise Inexpressible(f"transformers does not accept {asked} ({_brief(error)})") from error
    if ignored := [name for name, value in numbers.items() if getattr(made, name, None) != value]:
        raise Inexpressible(f"its configuration ignores {', '.join(ignored)}")
    return made


def axes_that_follow(
    model_class: type[PreTrainedModel], config: PretrainedConfig, other: PretrainedConfig
) -> list[Axis]:
    """The axes whose sizes differ between the two configurations. Raises `Inexpressible` if other things differ."""
    try:
        old, new = shapes(model_class, config), shapes(model_class, other)
    except Exception as error:  # The library may raise anything for unexpected numbers.
        raise Inexpressible(f"the model cannot be built with other numbers ({_brief(error)})") from error
    if old.keys() != new.keys() or any(len(old[name]) != len(new[name]) for name in old):
        raise Inexpressible("with other numbers it has different weights")
    return [
        Axis(name, place, before, after)
        for name in old
        for place, (before, after) in enumerate(zip(old[name], new[name], strict=True))
        if before != after
    ]


def shapes(model_class: type[PreTrainedModel], config: PretrainedConfig) -> dict[str, Shape]:
    """The shapes of all stored tensors by name."""
    return {name: tuple(tensor.shape) for name, tensor in outline_of(model_class, config).state_dict().items()}


def outline_of(model_class: type[PreTrainedModel], config: PretrainedConfig) -> PreTrainedModel:
    """The model with shapes but without values."""
    with torch.device("meta"):
        return model_class(deepcopy(config))


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(". ") or type(error).__name__
