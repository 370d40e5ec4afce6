"""Which axes of a transformer's weights are its hidden channels, its heads, and its features.

No architecture is named. The model is built without values for other numbers of the configuration, and axes whose size
changes belong to the number. Where the number of heads cannot change alone, the layer of an attention that reads the
heads is found by trial. What was found is checked: the model with its channels, heads and features in another order has
to compute the same.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from apps.agents.backends.torch.distillation.widths import Widths, numbers
from apps.agents.backends.torch.width.blocks import numbered
from apps.agents.backends.torch.width.cutting import SAME, difference
from apps.agents.backends.torch.width.expressing import Axis, Inexpressible, altered, axes_that_follow
from apps.agents.backends.torch.width.layer_inputs import Row

CHANNELS, HEADS, FEATURES = "channels", "heads", "features"
Choice = Callable[[str, str], Tensor]
"""The numbers of a kind's units in the tensor of a name, as int64: those that stay, or all of them in another order."""


@dataclass(frozen=True)
class UnitAxis:
    """An axis of a stored tensor that is divided into units of a kind, each of `size` neighbouring elements."""

    tensor: str
    place: int
    kind: str
    size: int = 1


def axes_of(model: PreTrainedModel, widths: Widths, less: Widths, rows: Sequence[Row]) -> tuple[UnitAxis, ...]:
    """The axes that differ between these widths. Raises `Inexpressible` if they cannot be told apart."""
    config, kind = model.config, type(model)
    changed = axes_that_follow(kind, config, altered(config, numbers(config, less)))
    features = _places(kind, config, replace(widths, features=less.features))
    heads = _places(kind, config, replace(widths, groups=1)) if widths.groups > 1 else set()
    found = tuple(_followed(axis, widths, features, heads) for axis in changed)
    for guess in _guesses(model, found, widths):
        if _interchangeable(model, guess, widths, rows):
            return guess
    raise Inexpressible("its channels, heads and features cannot be told apart, or are not interchangeable")


def taken(tensors: Mapping[str, Tensor], axes: Sequence[UnitAxis], chosen: Choice) -> dict[str, Tensor]:
    """The tensors with the chosen units of each axis."""
    made = dict(tensors)
    for axis in axes:
        units = chosen(axis.kind, axis.tensor)
        places = (units[:, None] * axis.size + torch.arange(axis.size)).reshape(-1)
        made[axis.tensor] = made[axis.tensor].index_select(axis.place, places.to(made[axis.tensor].device))
    return made


def filled(model: PreTrainedModel, config: PretrainedConfig, tensors: Mapping[str, Tensor]) -> PreTrainedModel:
    """A model of the same class with this configuration and these weights."""
    made = type(model)(copy.deepcopy(config))
    made.load_state_dict(tensors)
    made.tie_weights()
    return made.to(model.dtype).eval()


def _places(kind: type[PreTrainedModel], config: PretrainedConfig, other: Widths) -> set[tuple[str, int]]:
    """The axes that change with these widths; none if the library does not accept them."""
    try:
        axes = axes_that_follow(kind, config, altered(config, numbers(config, other)))
    except Inexpressible:
        return set()
    return {(axis.tensor, axis.place) for axis in axes}


def _followed(axis: Axis, widths: Widths, features: set[tuple[str, int]], heads: set[tuple[str, int]]) -> UnitAxis:
    """Raises `Inexpressible` for an axis that holds several widths one after the other."""
    place, counts = (axis.tensor, axis.place), {widths.groups, widths.heads}
    of_heads = axis.before in counts | {count * widths.head_width for count in counts}
    if place in features and axis.before in widths.features.values():
        return UnitAxis(*place, FEATURES)
    if axis.before == widths.hidden and place not in features | heads:
        return UnitAxis(*place, CHANNELS)
    if of_heads and place not in features:
        return UnitAxis(*place, HEADS, axis.before // widths.groups)
    raise Inexpressible(f"{axis.tensor} cannot be followed: {axis.before} of its numbers become {axis.after}")


def _guesses(model: PreTrainedModel, axes: tuple[UnitAxis, ...], widths: Widths) -> Iterator[tuple[UnitAxis, ...]]:
    """What the axes may be. If no layer is known to read heads, any square layer of an attention may."""
    linear = {f"{name}.weight" for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    if any(axis.kind == HEADS and axis.place == 1 and axis.tensor in linear for axis in axes):
        yield axes
        return
    squares = _squares(model, widths.hidden)
    for reader in squares:
        heads = {(f"{layer}.weight", 1) for layer in squares[reader]}
        for others in (layers for name, layers in squares.items() if name != reader):
            heads |= {(f"{layer}.{part}", 0) for layer in others for part in ("weight", "bias")}
        size = widths.hidden // widths.groups
        yield tuple(
            UnitAxis(axis.tensor, axis.place, HEADS, size) if (axis.tensor, axis.place) in heads else axis
            for axis in axes
        )


def _squares(model: PreTrainedModel, hidden: int) -> dict[str, list[str]]:
    """The linear layers of numbered blocks from all channels to as many, by their names within a block."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, part in model.named_modules():
        block = numbered(name)
        if block and isinstance(part, nn.Linear) and part.in_features == part.out_features == hidden:
            found[name.removeprefix(block)].append(name)
    return found


def _interchangeable(model: PreTrainedModel, axes: tuple[UnitAxis, ...], widths: Widths, rows: Sequence[Row]) -> bool:
    """Whether the model with all units in another order gives the same outputs."""
    random = torch.Generator().manual_seed(0)
    counts = {CHANNELS: widths.hidden, HEADS: widths.groups, FEATURES: next(iter(widths.features.values()))}
    orders = {kind: torch.randperm(count, generator=random) for kind, count in counts.items()}
    made = filled(model, model.config, taken(model.state_dict(), axes, lambda kind, _: orders[kind]))
    return difference(model, made, rows) <= SAME
