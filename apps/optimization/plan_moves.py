"""What a button on the page of a new session does to the edits of its plan. Pure functions of the edits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.agents.contracts.plan_edits import NO_EDITS, ChainName, EditKind, ParameterChange, PlanEdits


def removed(edits: PlanEdits, name: ChainName) -> PlanEdits:
    """The candidate is not tried. One that was added is simply not added any more."""
    rest = _without(edits, name)
    if name in edits.added:
        return rest
    return rest.model_copy(update={"removed": (*rest.removed, name)})


def _without(edits: PlanEdits, name: ChainName) -> PlanEdits:
    """Without anything about the candidate."""
    lists = {kind: tuple(one for one in getattr(edits, kind) if one != name) for kind in ("removed", "pinned", "added")}
    changed = tuple(one for one in edits.changed if one.candidate != name)
    return edits.model_copy(update={**lists, "changed": changed})


def pinned(edits: PlanEdits, name: ChainName) -> PlanEdits:
    """The candidate is tried after those that are pinned already."""
    return edits if name in edits.pinned else edits.model_copy(update={"pinned": (*edits.pinned, name)})


def unpinned(edits: PlanEdits, name: ChainName) -> PlanEdits:
    return edits.model_copy(update={"pinned": tuple(one for one in edits.pinned if one != name)})


def raised(edits: PlanEdits, name: ChainName) -> PlanEdits:
    """The pinned candidate is tried one place earlier."""
    return _shifted(edits, name, -1)


def lowered(edits: PlanEdits, name: ChainName) -> PlanEdits:
    """The pinned candidate is tried one place later."""
    return _shifted(edits, name, 1)


def _shifted(edits: PlanEdits, name: ChainName, by: int) -> PlanEdits:
    order = list(edits.pinned)
    if name not in order:
        return edits
    place = order.index(name)
    other = min(len(order) - 1, max(0, place + by))
    order[place], order[other] = order[other], order[place]
    return edits.model_copy(update={"pinned": tuple(order)})


def added(edits: PlanEdits, name: ChainName) -> PlanEdits:
    return edits if name in edits.added else edits.model_copy(update={"added": (*edits.added, name)})


def changed(edits: PlanEdits, name: ChainName, parameters: Mapping[str, Mapping[str, Any]]) -> PlanEdits:
    """The candidate has other parameters. A chain that was added is replaced, where it is pinned, too."""
    given = {technique: dict(values) for technique, values in parameters.items() if values}
    if not given:
        return edits
    if name in edits.added:
        return _renamed(edits, name, given)
    before = next((one.parameters for one in edits.changed if one.candidate == name), {})
    both = {technique: {**before.get(technique, {}), **given.get(technique, {})} for technique in {**before, **given}}
    others = tuple(one for one in edits.changed if one.candidate != name)
    change = ParameterChange(candidate=name, parameters=both)
    return edits.model_copy(update={"changed": (*others, change)})


def _renamed(edits: PlanEdits, name: ChainName, given: Mapping[str, Mapping[str, Any]]) -> PlanEdits:
    new = tuple(
        link.model_copy(update={"parameters": {**link.parameters, **given.get(link.technique, {})}}) for link in name
    )
    lists = {kind: tuple(new if one == name else one for one in getattr(edits, kind)) for kind in ("pinned", "added")}
    return edits.model_copy(update=lists)


def kept(edits: PlanEdits, layers: tuple[str, ...]) -> PlanEdits:
    """These layers, and no others, stay in float."""
    return edits.model_copy(update={"kept_layers": tuple(dict.fromkeys(layers))})


def undone(edits: PlanEdits, field: str) -> PlanEdits:
    """Without the edit at `field`, such as `added.0`, or `kept_layers` for all of them. Unknown fields change
    nothing."""
    kind, _, place = field.partition(".")
    if kind == EditKind.KEPT_LAYERS:
        return edits.model_copy(update={"kept_layers": ()})
    number = place.partition(".")[0]
    if kind not in set(EditKind) or not number.isdecimal() or int(number) >= len(getattr(edits, kind)):
        return edits
    values = getattr(edits, kind)
    rest = edits.model_copy(update={kind: (*values[: int(number)], *values[int(number) + 1 :])})
    # A chain that is not added any more is not pinned either.
    return unpinned(rest, values[int(number)]) if kind == EditKind.ADDED else rest


def reset(edits: PlanEdits) -> PlanEdits:
    """The planner's own plan."""
    return NO_EDITS


BY_NAME = {
    "remove": removed,
    "pin": pinned,
    "unpin": unpinned,
    "up": raised,
    "down": lowered,
}
"""The moves that need no more than a candidate's name."""
