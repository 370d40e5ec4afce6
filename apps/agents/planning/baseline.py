"""What clever methods have to beat: the plain technique that their knowledge names, measured beside them.

A method that uses calibration data and loses more than plain rounding is worse than none; the report says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from apps.agents.contracts.phrasing import difference_unit, moved, with_unit
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.techniques.catalogue import TechniqueSpec
from apps.agents.techniques.knowledge.technique import Baseline


def is_baseline(
    plain: TechniqueSpec, plain_parameters: Mapping[str, Any], clever: TechniqueSpec, parameters: Mapping[str, Any]
) -> bool:
    """Whether the candidate of the technique `plain` is what that of `clever` has to beat."""
    baseline = clever.knowledge.baseline
    if baseline is None or baseline.technique != plain.name:
        return False
    return baseline.alike(plain_parameters) == baseline.alike(parameters)


class Candidate(Protocol):
    """What there is to know of a candidate here: its record, or its part of the report."""

    @property
    def key(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def technique(self) -> str: ...
    @property
    def parameters(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Measured:
    """A candidate with its evaluation."""

    candidate: Candidate
    report: EvaluationReport

    @property
    def named(self) -> str:
        return f"{self.candidate.key} ({self.candidate.title})"


def against_baseline(
    measured: Sequence[Measured], specs: Mapping[str, TechniqueSpec], *, closed: bool
) -> dict[str, str]:
    """For each clever candidate, by its key, how its loss stands to that of its baseline, in a sentence.

    Both were measured against the original on the same examples, so the difference of the two drops is free of what
    the original does. Its interval adds the widths of both as if they were independent, which is wider than a paired
    one would be. One that has nothing beside it is only told of once the search is `closed`.
    """
    sentences = {}
    for one in measured:
        spec = specs.get(one.candidate.technique)
        if spec is None or (baseline := spec.knowledge.baseline) is None:
            continue
        plain = next((other for other in measured if _beats(other, one, specs)), None)
        if plain is not None:
            sentences[one.candidate.key] = _sentence(one, plain, baseline)
        elif closed:
            sentences[one.candidate.key] = _alone(one, baseline)
    return sentences


def _beats(plain: Measured, clever: Measured, specs: Mapping[str, TechniqueSpec]) -> bool:
    one, other = plain.candidate, clever.candidate
    spec = specs.get(one.technique)
    return spec is not None and is_baseline(spec, one.parameters, specs[other.technique], other.parameters)


def _alone(one: Measured, baseline: Baseline) -> str:
    return (
        f"{one.named} stands alone: no candidate {baseline.done} was measured, so "
        f"it is not known whether {baseline.effort} has won anything."
    )


def _sentence(one: Measured, plain: Measured, baseline: Baseline) -> str:
    drop, plain_drop = one.report.primary.drop, plain.report.primary.drop
    unit = difference_unit(one.report.primary.unit)
    behind = drop.value - plain_drop.value
    reach = math.hypot(_width(drop), _width(plain_drop))
    lost = f"{one.named}, against the original: {one.report.primary.label} {moved(one.report.primary)}"
    beside = f"and {plain.candidate.key}, {baseline.done}, {moved(plain.report.primary)}"
    apart = f"{with_unit(abs(behind), unit)} {'worse' if behind > 0 else 'better'}" if behind else "no difference"
    interval = f"{apart}, give or take {with_unit(reach, unit)}"
    if behind > reach:
        return (
            f"{lost}, {beside}: {interval}. It is worse than {baseline.label}, so its {baseline.effort} does harm here."
        )
    if behind < -reach:
        return f"{lost}, {beside}: {interval}. It is better than {baseline.label}."
    return f"{lost}, {beside}: {interval}. It is not worse than {baseline.label} beyond the interval."


def _width(estimate: Estimate) -> float:
    """Half the interval; 0 where the number is exact."""
    if estimate.low is None or estimate.high is None:
        return 0.0
    return (estimate.high - estimate.low) / 2
