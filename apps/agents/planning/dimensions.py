"""The parameters of a chain that a refinement may vary: those for which techniques declare values to search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import gcd
from typing import Any

from apps.agents.contracts.chain import Application, Chain
from apps.agents.contracts.refinement import Dimension, Setting
from apps.agents.planning.chains import application_of
from apps.agents.techniques.knowledge.grid import value_text
from apps.agents.techniques.knowledge.speed_goal import goals_in_words
from apps.agents.techniques.spec import ParameterSpec, TechniqueSpec


@dataclass(frozen=True)
class Dimensions:
    """Finds the parameters that may vary. Those of a technique at a place are found once."""

    specs: Mapping[str, TechniqueSpec]
    _known: dict[tuple[int, str], tuple[Dimension, ...]] = field(default_factory=dict, repr=False)

    def of(self, chain: Chain) -> tuple[Dimension, ...]:
        """The parameters that may vary, link by link, each with the values that its technique declares for a search."""
        return tuple(self._of(chain))

    def _of(self, chain: Chain) -> Iterator[Dimension]:
        for place, link in enumerate(chain):
            # A speed that is asked for replaces the share to remove, so the share must not vary.
            if not goals_in_words(link.parameters):
                declared = self._declared(place, link.technique)
                yield from (one for one in declared if one.holds(link.parameters.get(one.parameter)))

    def _declared(self, place: int, technique: str) -> tuple[Dimension, ...]:
        if (place, technique) not in self._known:
            spec = self.specs.get(technique)
            found = (_dimension(place, parameter) for parameter in (spec.parameters if spec else ()))
            self._known[place, technique] = tuple(one for one in found if one is not None)
        return self._known[place, technique]


def _dimension(place: int, parameter: ParameterSpec) -> Dimension | None:
    """`None` if the parameter has fewer than two values to search."""
    values = tuple(dict.fromkeys(parameter.search))
    if len(values) < 2:
        return None
    if parameter.kind in ("number", "integer"):
        step = gcd(*map(int, values)) if parameter.kind == "integer" else None
        low, high = min(values), max(values)
        return Dimension(link=place, parameter=parameter.name, low=low, high=high, step=step)
    return Dimension(link=place, parameter=parameter.name, choices=values)


def setting_of(chain: Chain, dimensions: tuple[Dimension, ...]) -> Setting:
    """The values that a chain has in the dimensions."""
    return {one.name: chain[one.link].parameters[one.parameter] for one in dimensions}


def with_setting(chain: Chain, dimensions: tuple[Dimension, ...], setting: Setting, specs: _Specs) -> Chain:
    """The chain with these values in the dimensions."""
    links = list(chain)
    for one in dimensions:
        link = links[one.link]
        links[one.link] = _changed(link, {one.parameter: setting[one.name]}, specs[link.technique])
    return tuple(links)


def _changed(link: Application, parameters: Mapping[str, Any], spec: TechniqueSpec) -> Application:
    changed = application_of(spec, {**link.parameters, **parameters}, optional=link.optional)
    return changed.model_copy(update={"inputs": link.inputs})


def changes_in_words(chain: Chain, dimensions: tuple[Dimension, ...], setting: Setting, specs: _Specs) -> list[str]:
    """One part for each value that differs from that of `chain`: `macs removed 0.55 instead of 0.5`."""
    parts = []
    for one in dimensions:
        link = chain[one.link]
        before, after = link.parameters[one.parameter], setting[one.name]
        parameter = next(known for known in specs[link.technique].parameters if known.name == one.parameter)
        if before != after:
            instead = "" if isinstance(after, bool) else f" instead of {before}"
            parts.append(f"{value_text(parameter, after)}{instead}")
    return parts


_Specs = Mapping[str, TechniqueSpec]
