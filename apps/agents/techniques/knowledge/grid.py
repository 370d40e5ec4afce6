"""The grid that a technique's own parameters span: the values that each says a search should try."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apps.agents.techniques.spec import ParameterSpec

MOST_VARIANTS = 12
"""A grid of more is not walked whole, but along one parameter at a time."""
_SAID_ELSEWHERE = frozenset({"per_channel", "keep_float_operators", "keep_float_nodes"})


def walk(parameters: tuple[ParameterSpec, ...]) -> Iterator[dict[str, Any]]:
    """Every combination of the values to search; what is not searched keeps its default.

    The combination of defaults comes first where it is one of them. Of more than `MOST_VARIANTS` combinations only
    those that differ from the first in one parameter remain.
    """
    grid = {one.name: _from_default(one) for one in parameters if one.search}
    first = {name: values[0] for name, values in grid.items()}
    if prod(map(len, grid.values())) <= MOST_VARIANTS:
        for values in product(*grid.values()):
            yield dict(zip(grid, values, strict=True))
        return
    yield first
    for name, values in grid.items():
        for value in values[1:]:
            yield first | {name: value}


def searched(parameters: tuple[ParameterSpec, ...]) -> Iterator[ParameterSpec]:
    """The parameters by which variants of a grid differ."""
    return (one for one in parameters if len(one.search) > 1 and one.name not in _SAID_ELSEWHERE)


def value_text(parameter: ParameterSpec, value: Any) -> str:
    """`share 0.3`, `no zero point`."""
    name = parameter.name.replace("_", " ")
    if isinstance(value, bool):
        return name if value else f"no {name}"
    return f"{name} {', '.join(value) or 'none' if isinstance(value, list | tuple) else value}"


def _from_default(parameter: ParameterSpec) -> tuple[Any, ...]:
    """The values to search, the default first where it is among them."""
    values = tuple(dict.fromkeys(parameter.search))
    if parameter.default not in values:
        return values
    return parameter.default, *(value for value in values if value != parameter.default)
