"""What a search needs of one model: its space, its supernet, and the work and the time of any sub-network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

import torch
from torch import nn

from apps.agents.backends.torch.architecture.blocks import blocks_of, without
from apps.agents.backends.torch.architecture.heads import Attention, attentions_of
from apps.agents.backends.torch.architecture.slots import groups_of
from apps.agents.backends.torch.architecture.supernet import Anatomy, Supernet
from apps.agents.backends.torch.architecture.timing import (
    Place,
    Stopwatch,
    Timed,
    is_depthwise,
    timed_attention,
    timed_operator,
)
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.pruning.cutting import Cutter, Manner
from apps.agents.backends.torch.pruning.importance import importance_of
from apps.agents.backends.torch.pruning.workload import CUT, workload_of
from apps.agents.techniques.architecture.space import COUNTED, Dimension, Kind, Space, Values, widths_between
from apps.agents.techniques.architecture.table import Operator, Work
from apps.agents.techniques.reduction import Workload

Tensors = tuple[torch.Tensor, ...]
SMALLEST_KERNEL = 3
MULTIPLES = (4, 8, 16)
"""Of channels, which a runtime may be fast for."""
ABOUT_AS_FAST = 1.15
_CONVOLUTION = nn.modules.conv._ConvNd


@dataclass(frozen=True)
class Wish:
    """What may be searched: widths in multiples of `multiple` from `narrowest` on, heads, kernels and blocks."""

    multiple: int
    narrowest: float
    heads: bool
    kernels: bool
    blocks: bool
    importance: str


def anatomy_of(
    module: nn.Module, tensors: Tensors, rows: int, wish: Wish, learn: Callable[[nn.Module], None]
) -> Anatomy:
    """What can be chosen in `module`, which gets `tensors` of `rows` examples. The space may be empty.

    Frees the shapes of `module` from the number of heads of its attentions.
    """
    attentions = attentions_of(module, tensors, rows, wish.importance, learn) if wish.heads else []
    whole = frozenset(layer for one in attentions for layer in one.group.layers)
    manner = Manner(wish.importance, "local", "one-shot", wish.multiple)
    cutter = Cutter(module, tensors, rows, manner, learn, workload_of(module, tensors, rows))
    learn(module)
    groups = groups_of(module, tensors, cutter.fixed | whole, importance_of(wish.importance))
    module.zero_grad(set_to_none=True)
    sized = [(group, widths_between(wish.narrowest, group.width, wish.multiple)) for group in groups]
    sized = [(group, widths) for group, widths in sized if len(widths) > 1]
    kernels = {name: _sides(part) for name, part in module.named_modules()} if wish.kernels else {}
    kernels = {name: sides for name, sides in kernels.items() if len(sides) > 1}
    blocks = blocks_of(module) if wish.blocks else []
    left = {block.name: set(dict(without(module, [block]).named_modules())) for block in blocks}

    def inside(layers: tuple[str, ...], own: str = "") -> tuple[str, ...]:
        return tuple(name for name, names in left.items() if name != own and not names & set(layers))

    dimensions = (
        *(Dimension(Kind.WIDTH, one.layers[0], widths, one.layers, inside(one.layers)) for one, widths in sized),
        *(_heads(one, wish.narrowest, inside(one.group.layers)) for one in attentions),
        *(Dimension(Kind.KERNEL, name, sides, (name,), inside((name,))) for name, sides in kernels.items()),
        *(Dimension(Kind.BLOCK, one.name, (0, 1), (one.name,), inside((one.name,), one.name)) for one in blocks),
    )
    groups = [group for group, _ in sized]
    return Anatomy(Space(dimensions), tuple(groups), tuple(attentions), tuple(kernels), tuple(blocks))


def _heads(attention: Attention, narrowest: float, inside: tuple[str, ...]) -> Dimension:
    group = attention.group
    return Dimension(Kind.HEADS, attention.name, widths_between(narrowest, group.width, 1), group.layers, inside)


@dataclass(frozen=True)
class Subnetworks:
    """A model that can be cut, and its supernet, which shares its weights."""

    model: TorchModel
    supernet: Supernet
    tensors: Tensors
    rows: int

    @property
    def space(self) -> Space:
        return self.supernet.anatomy.space

    def alone(self, values: Values) -> TorchModel:
        """A sub-network with copies of its weights."""
        return replace(self.model, module=self.supernet.alone(values).eval())

    def work(self, values: Values) -> Work:
        """The operators of a sub-network, for the table."""
        shapes, operators, between, macs = self._shapes(values), [], 0, 0
        for name, place in self.places.items():
            if f"{name}.weight" in shapes:
                shape = shapes[f"{name}.weight"]
                operators.append(_operator(name, place.part, shape))
                between += place.made * _outputs(place.part, shape)
                macs += _macs(place, shape)
        for attention, heads in self.supernet.anatomy.heads(values):
            if f"{attention.name}.weight" in shapes:
                operators.append(Operator(attention.products, heads, heads, 0))
                macs += attention.core.macs(heads)
        return Work(tuple(operators), between, macs)

    def timed(self, operator: Operator, threads: int) -> Timed:
        """An operator alone, ready to be timed."""
        core = next((one.core for one in self.supernet.anatomy.attentions if one.products == operator.layer), None)
        if core is not None:
            return timed_attention(core, operator.inputs, threads)
        return timed_operator(self.places[operator.layer], operator, threads)

    def workload(self, values: Values) -> Workload:
        """As `pruning.workload` counts it on the sub-network alone."""
        shapes = self._shapes(values)
        left = [(one, shapes[f"{name}.weight"]) for name, one in self.places.items() if f"{name}.weight" in shapes]
        channels = sum(_outputs(place.part, shape) for place, shape in left)
        macs = sum(_macs(place, shape) for place, shape in left)
        return Workload(macs, sum(math.prod(shape) for shape in shapes.values()), channels)

    def _shapes(self, values: Values) -> dict[str, list[int]]:
        """Of the parameters of a sub-network, by their names."""
        found = {name: list(weight.shape) for name, weight in self.supernet.variant(values).named_parameters()}
        for name, axes in self.supernet.indices(values).items():
            for axis, kept in axes if name in found else ():
                found[name][axis] = len(kept)
        for layer, side in self.supernet.anatomy.sides(values).items():
            if (name := f"{layer}.weight") in found:
                found[name][2:] = [side] * len(found[name][2:])
        return found

    @cached_property
    def places(self) -> Mapping[str, Place]:
        return places_of(self.model.module, self.tensors, self.rows)

    def counts(self) -> dict[tuple[str, int], tuple[Sequence[int], Sequence[int]]]:
        """For each layer and kernel, the numbers of inputs and outputs that it may have."""
        anatomy, sides = self.supernet.anatomy, {}
        for one in self.space.dimensions:
            if one.kind is Kind.KERNEL:
                sides[one.name] = one.options
        lengths = _lengths(anatomy)
        found: dict[tuple[str, int], tuple[Sequence[int], Sequence[int]]] = {}
        for name, place in self.places.items():
            part = place.part
            transposed = isinstance(part, _CONVOLUTION) and part.transposed
            ends = [tuple(lengths.get((f"{name}.weight", axis), (part.weight.shape[axis],))) for axis in (0, 1)]
            outputs, inputs = ends[::-1] if transposed else ends
            if is_depthwise(part):
                inputs, outputs = outputs, ()
            elif getattr(part, "groups", 1) > 1:  # Its channels do not change.
                inputs = (part.in_channels,)
            for side in sides.get(name, (_side(part),)):
                found[name, side] = inputs, outputs
        heads = (one.options for one in self.space.dimensions if one.kind is Kind.HEADS)
        for attention, options in zip(anatomy.attentions, heads, strict=True):
            found[attention.products, 0] = options, ()
        return found


def places_of(module: nn.Module, tensors: Tensors, rows: int) -> dict[str, Place]:
    """Every layer that runs, as it stands in the whole network, with one example."""
    found: dict[str, Place] = {}

    def see(part: nn.Module, given: Any, made: torch.Tensor) -> None:
        shape, outputs = tuple(given[0].shape), _outputs(part, part.weight.shape)
        first = max(1, shape[0] // rows) if isinstance(part, nn.Linear) else 1
        found[names[part]] = Place(part, (first, *shape[1:]), made.numel() // rows // outputs)

    names = {part: name for name, part in module.named_modules() if isinstance(part, CUT)}
    handles = [part.register_forward_hook(see) for part in names]
    try:
        with torch.no_grad():
            module(*tensors)
    finally:
        for handle in handles:
            handle.remove()
    return found


def rounding(places: Mapping[str, Place], watch: Stopwatch) -> tuple[int, dict[str, float]]:
    """The smallest of `MULTIPLES` that is about as fast as any, and the milliseconds that a million
    multiply-accumulates take with widths that are odd multiples of each, in the layer with the most work."""
    convolutions = {name: one for name, one in places.items() if getattr(one.part, "groups", 2) == 1}
    if not convolutions:
        return MULTIPLES[1], {}
    name = max(convolutions, key=lambda one: _macs(convolutions[one], convolutions[one].part.weight.shape))
    place = convolutions[name]
    half = max(2 * MULTIPLES[-1], _outputs(place.part, place.part.weight.shape) // 2)
    half -= half % (2 * MULTIPLES[-1])  # so that each width is an odd multiple of its own number, but the largest one
    widths = [half + (multiple if multiple < MULTIPLES[-1] else 0) for multiple in MULTIPLES]
    operators = [Operator(name, width, width, _side(place.part)) for width in widths]
    times = watch.operators_ms([timed_operator(place, one, watch.threads) for one in operators])
    taps = math.prod(place.part.weight.shape[2:]) * place.made
    costs = [taken / (width * width * taps / 1e6) for taken, width in zip(times, widths, strict=True)]
    good = [multiple for multiple, cost in zip(MULTIPLES, costs, strict=True) if cost <= ABOUT_AS_FAST * min(costs)]
    return good[0], {str(multiple): round(cost, 5) for multiple, cost in zip(MULTIPLES, costs, strict=True)}


def _lengths(anatomy: Anatomy) -> dict[tuple[str, int], list[int]]:
    """The possible lengths of each axis that channels decide, from every combination of the widths that do."""
    deciding: dict[tuple[str, int], list[tuple[torch.Tensor, tuple[int, ...]]]] = {}
    dimensions = [one for one in anatomy.space.dimensions if one.kind in COUNTED]
    groups = (group for group, _ in anatomy.widths(anatomy.space.largest))
    for group, dimension in zip(groups, dimensions, strict=True):
        for slot in group.slots:
            deciding.setdefault((slot.tensor, slot.axis), []).append((slot.ranks, dimension.options))
    found = {}
    for axis, owners in deciding.items():
        ends = [tuple(options) if len(owners) == 1 else (options[0], options[-1]) for _, options in owners]
        lengths = []
        for widths in product(*ends):
            stays = torch.ones(len(owners[0][0]), dtype=torch.bool)
            for (ranks, _), width in zip(owners, widths, strict=True):
                stays &= ranks < width
            lengths.append(int(stays.sum()))
        found[axis] = sorted(set(lengths))
    return found


def _operator(name: str, part: nn.Module, shape: Sequence[int]) -> Operator:
    """Of a layer whose weight has this shape."""
    outputs = _outputs(part, shape)
    if is_depthwise(part):
        return Operator(name, outputs, outputs, max(shape[2:]))
    grouped = getattr(part, "groups", 1) > 1
    inputs = part.in_channels if grouped else shape[0] if getattr(part, "transposed", False) else shape[1]
    return Operator(name, inputs, outputs, max(shape[2:], default=0))


def _outputs(part: nn.Module, shape: Sequence[int]) -> int:
    return shape[1] * part.groups if getattr(part, "transposed", False) else shape[0]


def _macs(place: Place, shape: Sequence[int]) -> int:
    """For one example. A transposed convolution multiplies at each place of its input, others of their output."""
    if getattr(place.part, "transposed", False):
        return math.prod(place.given[2:]) * math.prod(shape)
    return place.made * math.prod(shape)


def _side(part: nn.Module) -> int:
    return max(part.kernel_size) if isinstance(part, _CONVOLUTION) else 0


def _sides(part: nn.Module) -> tuple[int, ...]:
    """The kernels that a convolution may have, the smallest first; the same as the whole one if it can have no other.

    As `pruning.kernels`, but only for kernels with all sides alike."""
    if not isinstance(part, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) or len(set(part.kernel_size)) > 1:
        return ()
    whole = part.kernel_size[0]
    if part.padding_mode != "zeros" or part.padding == "valid" or whole % 2 == 0:
        return (whole,)
    if isinstance(part.padding, str):
        return tuple(range(SMALLEST_KERNEL, whole + 1, 2))
    reach = min(pad // step for pad, step in zip(part.padding, part.dilation, strict=True))
    return tuple(side for side in range(SMALLEST_KERNEL, whole + 1, 2) if (whole - side) // 2 <= reach) or (whole,)
