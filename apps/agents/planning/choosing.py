"""Which of the weighed variants a plan takes, beside those with a predicted gain, and what it says of the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.reports.slack import Foreseen
from apps.agents.contracts.state import Omission
from apps.agents.planning.baseline import is_baseline
from apps.agents.planning.bases import Bases
from apps.agents.planning.feasibility import OriginalFacts, Point, nearest_feasible
from apps.agents.planning.weighed import Weighed
from apps.agents.techniques.catalogue import Family, TechniqueSpec

TYPE_CHOICES = 2
"""At least this many choices of number types are measured if the budget allows, because predictions for kernels are
uncertain."""
MOST_OF_THE_WORK = 0.5


def type_choice(spec: TechniqueSpec | None, parameters: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The technique and number types of a candidate, to tell choices apart; `None` if it does not choose number
    types."""
    types = spec.knowledge.number_types(parameters) if spec else None
    return None if spec is None or types is None else (spec.name, *types)


def nearest_of(
    chosen: Sequence[Weighed], weighed: Sequence[Weighed], bases: Bases, criteria: Criteria
) -> Foreseen | None:
    """The weighed point nearest to the limits, if all limits together are out of reach; else `None`.

    Nothing is said while a candidate is to be tried of which the predictions do not tell enough.
    """
    if any(_open_ended(item, bases) for item in chosen):
        return None
    points = [Point(item.title, item.prediction) for item in weighed]
    profile = bases.original.profile
    return nearest_feasible(points, criteria, OriginalFacts(profile.original_bytes, profile.original_latency_ms))


def _open_ended(item: Weighed, bases: Bases) -> bool:
    """Whether an item that is tried may lead to more than is predicted of it: an export whose techniques can be weighed
    only once it is analysed, or a technique that is always tried. Optimizing the graph keeps all weights."""
    if item.spec.family is Family.EXPORT:
        return bases.made_by(item.spec) is None
    return item.spec.knowledge.tried_anyway and item.spec.family is not Family.GRAPH


def measured_anyway(chosen: list[Weighed], weighed: list[Weighed]) -> list[Weighed]:
    """The best variants of further number types, if fewer than `TYPE_CHOICES` are chosen, although predicted to be
    slow.

    A variant with a predicted speed below half of the original's is still left out. So is one that leaves most of the
    work unchanged, because it shows little about a number type.
    """
    types = {choice for item in chosen if item.reach >= MOST_OF_THE_WORK and (choice := _choice(item))}
    more: list[Weighed] = []
    for item in weighed:
        choice = _choice(item)
        if len(types) >= TYPE_CHOICES:
            break
        if item.firm or not item.soft or not choice or choice in types:
            continue
        if item.prediction.speedup < 0.5 or item.reach < MOST_OF_THE_WORK:
            continue
        types.add(choice)
        more.append(item)
    return more


def required_anyway(chosen: list[Weighed], weighed: list[Weighed], criteria: Criteria) -> list[Weighed]:
    """The best variant of each required technique of which none is chosen, although no gain is predicted."""
    more: list[Weighed] = []
    for technique in criteria.required_techniques:
        if any(item.applies(technique) for item in (*chosen, *more)):
            continue
        more += [item for item in weighed if not item.firm and item.applies(technique)][:1]
    return more


def asked_for(item: Weighed, criteria: Criteria) -> bool:
    """Whether the criteria name this technique and its gain cannot be predicted. It is then measured in any case."""
    return criteria.names(item.spec.name) and not item.spec.knowledge.predicts


def is_baseline_of(item: Weighed, clever: Weighed) -> bool:
    """Whether `item` is the baseline that `clever` has to beat. It is then measured in any case."""
    return is_baseline(item.spec, item.variant.parameters, clever.spec, clever.variant.parameters)


def _choice(item: Weighed) -> tuple[str, ...] | None:
    return type_choice(item.spec, item.variant.parameters)


def not_tried(chosen: list[Weighed]) -> list[Omission]:
    """The settings of the chosen techniques that are never tried, with the reasons."""
    tried = {item.spec.name: item.spec for item in chosen}
    return [
        Omission(technique=spec.name, title=f"{spec.label}: {part.title}", reason=part.reason)
        for spec in tried.values()
        for part in spec.knowledge.not_tried
    ]
