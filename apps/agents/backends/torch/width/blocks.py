"""Which layers lose features together: the layers that make them, and the layer that reads them.

A block is a feed-forward block or an attention. Its units, single features or groups of heads, are removed from the
rows of the makers and the columns of the reader.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from apps.agents.backends.torch.checkpoints import named
from apps.agents.backends.torch.width.expressing import (
    Axis,
    HeadCounts,
    Inexpressible,
    altered,
    axes_that_follow,
    feed_forward_widths,
    head_counts,
)

FEATURES, HEADS = "feed-forward", "heads"


@dataclass(frozen=True)
class Kind:
    """A number in the configuration: how many units each block of a kind has."""

    name: str
    """`feed-forward` or `heads`."""
    units: int
    numbers: Callable[[int], Mapping[str, Any]]
    """The configuration's numbers for a given number of units."""


@dataclass(frozen=True)
class Block:
    """Names of linear layers. In layer `name`, a unit is `sizes[name]` neighbouring features."""

    kind: Kind
    reader: str
    makers: tuple[str, ...]
    sizes: Mapping[str, int]
    """Features per unit by the name of the layer."""


def feed_forward(outline: PreTrainedModel, config: PretrainedConfig) -> tuple[Kind, list[Block]]:
    """The feed-forward blocks in the order of the model. Raises `Inexpressible` with the reason if it has none."""
    for name, width in feed_forward_widths(config).items():
        kind = Kind(FEATURES, width, partial(_named, name))
        if axes := _axes(outline, config, kind, width // 2):
            return kind, _blocks(outline, kind, axes, width // 2, {width: 1})
    raise Inexpressible(f"no weight follows {' or '.join(feed_forward_widths(config))}")


def attention(outline: PreTrainedModel, config: PretrainedConfig) -> tuple[Kind, list[Block]]:
    """The attentions; their units are groups of heads that share a key and a value. Raises `Inexpressible`."""
    counts: HeadCounts = head_counts(config)
    kind = Kind(HEADS, counts.groups, counts.with_groups)
    sizes = {counts.groups * counts.width: counts.width, counts.heads * counts.width: counts.in_group * counts.width}
    if axes := _axes(outline, config, kind, 1):
        return kind, _blocks(outline, kind, axes, 1, sizes)
    raise Inexpressible(f"no weight follows {' and '.join(kind.numbers(1))}")


def _named(name: str, units: int) -> dict[str, int]:
    return {name: units}


def _axes(outline: PreTrainedModel, config: PretrainedConfig, kind: Kind, fewer: int) -> list[Axis]:
    """The axes that change if blocks have `fewer` units."""
    return axes_that_follow(type(outline), config, altered(config, kind.numbers(fewer)))


def _blocks(
    outline: PreTrainedModel, kind: Kind, axes: Sequence[Axis], fewer: int, sizes: Mapping[int, int]
) -> list[Block]:
    """`axes` are those that changed with `fewer` units; `sizes` has the features per unit by the size of an axis."""
    layers = {name: part for name, part in outline.named_modules() if type(part) is nn.Linear}
    _refuse_others(axes, layers, sizes, fewer)
    makers, readers = (_layers_with(axes, place) for place in (0, 1))
    _refuse_shared(outline, [*makers, *readers])
    return [_block(kind, *pair, sizes) for pair in _paired(makers, readers)]


def _refuse_others(axes: Sequence[Axis], layers: Mapping[str, nn.Linear], sizes: Mapping[int, int], fewer: int) -> None:
    """Only weights and biases of linear layers can be followed, each along one axis."""
    strange = [
        axis.tensor
        for axis in axes
        if axis.tensor.rpartition(".")[0] not in layers or axis.after != fewer * sizes.get(axis.before, 0)
    ]
    twice = [name for name, count in Counter(axis.tensor for axis in axes).items() if count > 1]
    if unknown := sorted({*strange, *twice}):
        raise Inexpressible(f"{named(unknown)} cannot be followed: only plain linear layers can")


def _layers_with(axes: Sequence[Axis], place: int) -> dict[str, int]:
    """The layers whose weights change along this axis, with its size."""
    found = {}
    for axis in axes:
        layer, _, part = axis.tensor.rpartition(".")
        if part == "weight" and axis.place == place:
            found[layer] = axis.before
    return found


def _refuse_shared(outline: PreTrainedModel, layers: Sequence[str]) -> None:
    names: dict[int, list[str]] = defaultdict(list)
    for name, weight in outline.named_parameters(remove_duplicate=False):
        names[id(weight)].append(name)
    parts = {f"{layer}.weight" for layer in layers}
    for shared in names.values():
        if len(shared) > 1 and parts & set(shared):
            raise Inexpressible(f"{' and '.join(shared[:3])} are one weight")


def _paired(makers: Mapping[str, int], readers: Mapping[str, int]) -> list[tuple[dict[str, int], dict[str, int]]]:
    """Makers and reader of each block: the layers with the same number in their names."""
    layers: dict[str, tuple[dict[str, int], dict[str, int]]] = {}
    for place, group in enumerate((makers, readers)):
        for name, size in group.items():
            layers.setdefault(numbered(name), ({}, {}))[place][name] = size
    for key, (made, read) in layers.items():
        if not made or len(read) != 1:
            raise Inexpressible(
                f"in {key or 'it'} {len(read)} layers read the features of {len(made)} others; exactly one reader is "
                "expected"
            )
    return list(layers.values())


def numbered(name: str) -> str:
    """The numbered block of a layer or tensor, `encoder.layer.3` of `encoder.layer.3.output.dense`; else empty."""
    parts = name.split(".")
    place = next((place for place, part in enumerate(parts) if part.isdigit()), -1)
    return ".".join(parts[: place + 1])


def _block(kind: Kind, made: Mapping[str, int], read: Mapping[str, int], sizes: Mapping[int, int]) -> Block:
    per_unit = {name: sizes[size] for name, size in {**made, **read}.items()}
    return Block(kind, next(iter(read)), tuple(made), per_unit)
