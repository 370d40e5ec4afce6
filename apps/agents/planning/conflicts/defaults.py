"""A member's own default against the team's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.phrasing import listed
from apps.agents.planning.conflicts.values import Conflict, Conflicting, Known, Severity

CODE = "defaults_differ"
MOST_NAMED = 6
_BY_NAME = ("metric_limits", "output_limits")
"""Fields with limits by a name of their own."""
_TOGETHER = ("max_metric_drop_points", "default_rise")
"""Limits of which naming the first alone would change the second."""


def own_default_against_the_teams(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The member's own default is used, and it asks for something else than the team's."""
    precedence = known.precedence
    if precedence is None or criteria == precedence.criteria:
        return
    patch = _patch(criteria.model_dump(mode="json"), precedence.criteria.model_dump(mode="json"))
    fields = tuple(_paths(patch))
    shown = [path.rpartition(".")[2].replace("_", " ") for path in fields[:MOST_NAMED]]
    more = f" and {len(fields) - MOST_NAMED} more" if len(fields) > MOST_NAMED else ""
    yield (
        Conflicting(CODE, Severity.WARNING, *fields)
        .resolved("team", f"Use the team's default, {precedence.team}", **patch)
        .says(
            f"Your default, {precedence.own}, takes precedence over the team's, {precedence.team}. They differ in "
            f"{listed(shown) if not more else ', '.join(shown) + more}. Use the team's for this session, or keep yours."
        )
    )


def _patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What turns `before` into `after`. `None` removes what only `before` has."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            if inner := _patch(old, new):
                found[name] = inner
        elif old != new:
            found[name] = new
    if _TOGETHER[0] in found:
        found[_TOGETHER[1]] = after[_TOGETHER[1]]
    return found


def _paths(patch: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in patch.items():
        if isinstance(value, Mapping) and name not in _BY_NAME:
            yield from _paths(value, f"{prefix}{name}.")
        else:
            yield prefix + name
