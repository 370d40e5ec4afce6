"""What clever 4-bit methods have to beat: rounding to the nearest at the same bits, measured beside them.

A method that uses calibration data and loses more than plain rounding is worse than none; the report says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from apps.agents.contracts.phrasing import difference_unit, moved, said
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.techniques.knowledge.torch_rules import CLEVER, NEAREST


def is_baseline(plain: str, plain_parameters: Mapping[str, Any], clever: str, parameters: Mapping[str, Any]) -> bool:
    """Whether the candidate of the technique `plain` is what that of `clever` has to beat."""
    return plain == NEAREST and clever in CLEVER and _fineness(plain_parameters) == _fineness(parameters)


def _fineness(parameters: Mapping[str, Any]) -> tuple[int, int, tuple[str, ...]]:
    """Bits, weights that share a scale, and what stays in float."""
    kept = tuple(sorted(str(name) for name in parameters.get("keep_float_nodes", ())))
    return int(parameters.get("bits", 4)), int(parameters.get("group_size", 32)), kept


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


def against_baseline(measured: Sequence[Measured], *, closed: bool) -> dict[str, str]:
    """For each clever candidate, by its key, how its loss stands to that of plain rounding, in a sentence.

    Both were measured against the original on the same examples, so the difference of the two drops is free of what
    the original does. Its interval adds the widths of both as if they were independent, which is wider than a paired
    one would be. One that has nothing beside it is only told of once the search is `closed`.
    """
    sentences = {}
    for one in measured:
        if one.candidate.technique not in CLEVER:
            continue
        plain = next((other for other in measured if _beats(other, one)), None)
        if plain is not None:
            sentences[one.candidate.key] = _sentence(one, plain)
        elif closed:
            sentences[one.candidate.key] = _alone(one)
    return sentences


def _beats(plain: Measured, clever: Measured) -> bool:
    one, other = plain.candidate, clever.candidate
    return is_baseline(one.technique, one.parameters, other.technique, other.parameters)


def _alone(one: Measured) -> str:
    return (
        f"{one.named} stands alone: no candidate rounded to the nearest at the same bits was measured, so "
        "it is not known whether calibration has won anything."
    )


def _sentence(one: Measured, plain: Measured) -> str:
    drop, plain_drop = one.report.primary.drop, plain.report.primary.drop
    unit = difference_unit(one.report.primary.unit)
    behind = drop.value - plain_drop.value
    reach = math.hypot(_width(drop), _width(plain_drop))
    lost = f"{one.named}, against the original: {one.report.primary.label} {moved(one.report.primary)}"
    beside = f"and {plain.candidate.key}, rounded to the nearest at the same bits, {moved(plain.report.primary)}"
    apart = f"{said(abs(behind), unit)} {'worse' if behind > 0 else 'better'}" if behind else "no difference"
    interval = f"{apart}, give or take {said(reach, unit)}"
    if behind > reach:
        return f"{lost}, {beside}: {interval}. It is worse than plain rounding, so its calibration does harm here."
    if behind < -reach:
        return f"{lost}, {beside}: {interval}. It is better than plain rounding."
    return f"{lost}, {beside}: {interval}. It is not worse than plain rounding beyond the interval."


def _width(estimate: Estimate) -> float:
    """Half the interval; 0 where the number is exact."""
    if estimate.low is None or estimate.high is None:
        return 0.0
    return (estimate.high - estimate.low) / 2
