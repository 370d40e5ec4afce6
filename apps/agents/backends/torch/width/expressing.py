"""What a model's configuration can say about its widths, found by building its outline with other numbers.

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
"""Names of the width of feed-forward blocks: of most, of OPT, of DistilBERT."""
HEADS, KEY_HEADS, HEAD_WIDTH = "num_attention_heads", "num_key_value_heads", "head_dim"

Shape = tuple[int, ...]


class Inexpressible(Exception):
    """Why the configuration cannot say it, as a clause."""


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
    """Heads, and groups of them: the heads of a group share a key and a value, and go together."""

    heads: int
    groups: int
    width: int

    @property
    def in_group(self) -> int:
        return self.heads // self.groups

    def with_groups(self, groups: int) -> Mapping[str, int]:
        """The numbers of a configuration with so many groups."""
        return {HEADS: groups * self.in_group, KEY_HEADS: groups, HEAD_WIDTH: self.width}


def head_counts(config: PretrainedConfig) -> HeadCounts:
    """Raises `Inexpressible` where the width of a head follows from the number of heads, as in BERT."""
    heads, width = getattr(config, HEADS, None), getattr(config, HEAD_WIDTH, None)
    if not isinstance(heads, int) or not isinstance(width, int):
        raise Inexpressible(
            f"its configuration has no {HEAD_WIDTH}: the number of heads times their width must be the hidden size, "
            "so fewer heads would be wider ones"
        )
    groups = getattr(config, KEY_HEADS, None) or heads
    if groups < 2:
        raise Inexpressible("all its heads share one key and value")
    return HeadCounts(heads, groups, width)


def altered(config: PretrainedConfig, numbers: Mapping[str, Any]) -> PretrainedConfig:
    """A copy with other numbers, checked by the library as when it is loaded. Raises `Inexpressible`."""
    try:
        made: PretrainedConfig = type(config).from_dict({**deepcopy(config.to_dict()), **numbers})
    except Exception as error:  # Whatever the library's checks raise.
        said = ", ".join(f"{name} {value}" for name, value in numbers.items())
        raise Inexpressible(f"transformers does not accept {said} ({_brief(error)})") from error
    if ignored := [name for name, value in numbers.items() if getattr(made, name, None) != value]:
        raise Inexpressible(f"its configuration ignores {', '.join(ignored)}")
    return made


def axes_that_follow(
    model_class: type[PreTrainedModel], config: PretrainedConfig, other: PretrainedConfig
) -> list[Axis]:
    """The axes whose sizes differ between the two configurations. Raises `Inexpressible` if other things differ."""
    try:
        old, new = shapes(model_class, config), shapes(model_class, other)
    except Exception as error:  # The library may raise anything for numbers that it does not expect.
        raise Inexpressible(f"the model cannot be built with other numbers ({_brief(error)})") from error
    if old.keys() != new.keys() or any(len(old[name]) != len(new[name]) for name in old):
        raise Inexpressible("with other numbers it has other weights")
    return [
        Axis(name, place, before, after)
        for name in old
        for place, (before, after) in enumerate(zip(old[name], new[name], strict=True))
        if before != after
    ]


def shapes(model_class: type[PreTrainedModel], config: PretrainedConfig) -> dict[str, Shape]:
    """Of every stored tensor, by name."""
    return {name: tuple(tensor.shape) for name, tensor in outline_of(model_class, config).state_dict().items()}


def outline_of(model_class: type[PreTrainedModel], config: PretrainedConfig) -> PreTrainedModel:
    """The model without numbers."""
    with torch.device("meta"):
        return model_class(deepcopy(config))


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(". ") or type(error).__name__
