"""Techniques that are named both for and against: allowed, required, forbidden."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apps.agents.contracts.criteria import Criteria
from apps.agents.planning.conflicts.values import Conflict, Conflicting, Known, Severity


def forbidden_and_asked_for(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The same technique is forbidden, and allowed or required."""
    for technique in criteria.forbidden_techniques:
        asked = fields_that_ask(criteria, technique)
        if not asked:
            continue
        label = known.label(technique)
        how = " and ".join(field.removesuffix("_techniques") for field in asked)
        yield (
            Conflicting(
                "technique_forbidden", Severity.CONTRADICTION, *asked, "forbidden_techniques", subject=technique
            )
            .resolved(
                "permit", f"Permit {label}", forbidden_techniques=without(criteria.forbidden_techniques, technique)
            )
            .resolved("forbid", not_asked_title(criteria, technique, label), **not_asked_for(criteria, technique))
            .says(f"{label} is {how}, but also forbidden. Remove it from one of the lists.")
        )


def required_and_not_allowed(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """A required technique is missing from the list of those that alone are allowed."""
    if criteria.allowed_techniques is None:
        return
    for technique in criteria.required_techniques:
        if technique in criteria.allowed_techniques or technique in criteria.forbidden_techniques:
            continue
        label = known.label(technique)
        yield (
            Conflicting(
                "technique_not_allowed",
                Severity.CONTRADICTION,
                "required_techniques",
                "allowed_techniques",
                subject=technique,
            )
            .resolved("allow", f"Allow {label} as well", allowed_techniques=[*criteria.allowed_techniques, technique])
            .resolved("not-require", f"Do not require {label}", **not_asked_for(criteria, technique))
            .says(f"{label} is required, but only other techniques are allowed. Allow it, or do not require it.")
        )


def nothing_permitted(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """Every technique is excluded, whatever the model is."""
    contradicted = any(fields_that_ask(criteria, technique) for technique in criteria.forbidden_techniques)
    if contradicted or any(criteria.permits(technique) for technique in known.specs):
        return
    yield (
        Conflicting("nothing_permitted", Severity.WARNING, "allowed_techniques", "forbidden_techniques")
        .resolved("allow-all", "Allow all techniques", allowed_techniques=None, forbidden_techniques=[])
        .says("Not one technique is permitted, so a session could only analyse and package the original.")
    )


def fields_that_ask(criteria: Criteria, technique: str) -> list[str]:
    """The fields that ask for `technique` by name."""
    fields = ("allowed_techniques", "required_techniques")
    return [field for field in fields if technique in (getattr(criteria, field) or ())]


def without(names: tuple[str, ...], technique: str) -> list[str]:
    return [name for name in names if name != technique]


def not_asked_for(criteria: Criteria, technique: str) -> dict[str, Any]:
    """The patch that no longer asks for `technique`. If nothing else was allowed, all others are."""
    patch: dict[str, Any] = {}
    if technique in criteria.required_techniques:
        patch["required_techniques"] = without(criteria.required_techniques, technique)
    if technique in (criteria.allowed_techniques or ()):
        patch["allowed_techniques"] = without(criteria.allowed_techniques or (), technique) or None
    return patch


def not_asked_title(criteria: Criteria, technique: str, label: str) -> str:
    """What `not_asked_for` does, in words."""
    if criteria.allowed_techniques and not without(criteria.allowed_techniques, technique):
        return f"Do without {label}, and allow all other techniques"
    return f"Do without {label}"
