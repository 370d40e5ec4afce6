"""The grid of a technique's parameters, from the values that each lists for a search."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apps.agents.techniques.spec import ParameterSpec

MOST_VARIANTS = 12
"""In a larger grid, only one parameter at a time is varied."""
_ALWAYS_IN_TITLES = frozenset({"per_channel", "keep_float_operators", "keep_float_nodes"})


def walk(parameters: tuple[ParameterSpec, ...]) -> Iterator[dict[str, Any]]:
    """All combinations of the values to search. Parameters that are not searched are left out.

    The combination of defaults comes first, if it is one of them. If there are more than `MOST_VARIANTS` combinations,
    only those that differ from the first in one parameter remain.
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
    """The parameters in which variants of a grid differ, without those that titles mention in any case."""
    return (one for one in parameters if len(one.search) > 1 and one.name not in _ALWAYS_IN_TITLES)


def value_text(parameter: ParameterSpec, value: Any) -> str:
    """`share 0.3`, `no zero point`."""
    name = parameter.name.replace("_", " ")
    if isinstance(value, bool):
        return name if value else f"no {name}"
    return f"{name} {', '.join(value) or 'none' if isinstance(value, list | tuple) else value}"


def _from_default(parameter: ParameterSpec) -> tuple[Any, ...]:
    """The values to search, with the default first if it is one of them."""
    values = tuple(dict.fromkeys(parameter.search))
    if parameter.default not in values:
        return values
    return parameter.default, *(value for value in values if value != parameter.default)
