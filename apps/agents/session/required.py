"""What became of the techniques that criteria require, in sentences for the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.phrasing import listed
from apps.agents.contracts.state import CandidateStatus, Plan
from apps.agents.contracts.values import Value
from apps.agents.techniques.catalogue import TechniqueSpec
from apps.agents.techniques.compatibility import by_framework


@dataclass(frozen=True)
class Tried:
    """A candidate as the report knows it. `techniques` are those of its links that may not be skipped."""

    key: str
    techniques: frozenset[str]
    measured: bool
    status: CandidateStatus
    reason: str


class RequiredTechnique(Value):
    """A required technique, the candidates with it, and what became of them."""

    technique: str
    label: str
    measured: bool
    """Whether at least one candidate with it was measured."""
    candidates: tuple[str, ...]
    """The keys of the measured candidates with it."""
    sentence: str


def what_became_of(
    criteria: Criteria, plan: Plan | None, tried: Sequence[Tried], specs: Mapping[str, TechniqueSpec]
) -> tuple[RequiredTechnique, ...]:
    """One entry for each required technique, in the criteria's order. `plan` is `None` if the session has none."""
    return tuple(_entry(name, plan, tried, specs) for name in criteria.required_techniques)


def _entry(
    technique: str, plan: Plan | None, tried: Sequence[Tried], specs: Mapping[str, TechniqueSpec]
) -> RequiredTechnique:
    spec = specs.get(technique)
    having = [one for one in tried if technique in one.techniques]
    measured = [one for one in having if one.measured]
    return RequiredTechnique(
        technique=technique,
        label=spec.label if spec else technique,
        measured=bool(measured),
        candidates=tuple(one.key for one in measured),
        sentence=_measured(measured) if measured else f"Not measured. {_why_not(technique, spec, plan, having)}",
    )


def _measured(measured: Sequence[Tried]) -> str:
    keys = listed([one.key for one in measured])
    for status, words in (
        (CandidateStatus.SELECTED, "is the session's result"),
        (CandidateStatus.ACCEPTED, "holds the limits, but is not the result"),
    ):
        if found := next((one for one in measured if one.status is status), None):
            return f"Measured in {keys}; {found.key} {words}."
    return f"Measured in {keys}. {measured[0].key}: {measured[0].reason}"


def _why_not(technique: str, spec: TechniqueSpec | None, plan: Plan | None, having: Iterable[Tried]) -> str:
    """Why no candidate with it was measured: what ended the first one, or why the plan has none."""
    if (first := next(iter(having), None)) is not None:
        return f"{first.key}: {first.reason}"
    if plan is None:
        return "The session ended before its plan."
    frameworks = [name for name, _ in by_framework([spec])] if spec else []
    for name in (technique, *frameworks):
        if left_out := next((one for one in plan.omitted if one.technique == name), None):
            return left_out.reason
    return "The plan has no candidate with it."
