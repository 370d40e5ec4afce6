"""The plain technique that a clever method has to beat. It is named in the method's knowledge and measured as well.

A method that uses calibration data but loses more than plain rounding does harm, and the report says so.
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
    """Whether the candidate of technique `plain` is the baseline for the candidate of technique `clever`."""
    baseline = clever.knowledge.baseline
    if baseline is None or baseline.technique != plain.name:
        return False
    return baseline.alike(plain_parameters) == baseline.alike(parameters)


class Candidate(Protocol):
    """The facts about a candidate that are needed here. A candidate's record has them, and so has its report."""

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
    """For each clever candidate, by key, a sentence that compares its loss with its baseline's.

    Both were measured against the original on the same examples, so the original cancels out in the difference of the
    two drops. The interval of the difference treats them as independent, so it is wider than a paired one would be. A
    candidate without a measured baseline is included only once the search is `closed`.
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
        f"it is not known whether {baseline.effort} gained anything."
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
    """Half the width of the interval; 0 for an exact number."""
    if estimate.low is None or estimate.high is None:
        return 0.0
    return (estimate.high - estimate.low) / 2
