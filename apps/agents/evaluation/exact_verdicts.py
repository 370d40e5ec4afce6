"""Verdicts on exact numbers: file size and peak memory in bytes."""

from __future__ import annotations

from apps.agents.contracts.phrasing import against, capitalized, number, number_of_bytes
from apps.agents.contracts.reports.constraints import ConstraintVerdict
from apps.agents.contracts.reports.measurements import Estimate, Pair
from apps.agents.evaluation.deciding import decide
from apps.agents.evaluation.measured import Measurements


def size_verdict(measured: Measurements, limit: int) -> ConstraintVerdict:
    """The candidate's bytes, in the size that counts, compared with the maximum. Exact."""
    subject = f"{measured.counted_size.subject} takes"
    return exact_bytes_verdict("max_size_bytes", subject, measured.size_bytes, limit)


def size_reduction_verdict(measured: Measurements, limit: float) -> ConstraintVerdict:
    """Original bytes over candidate bytes, compared with the required minimum. Exact."""
    pair = measured.size_bytes
    ratio = Estimate(value=pair.ratio)
    status = decide(ratio, limit, "at least")
    shrank = f"{number_of_bytes(pair.original)} to {number_of_bytes(pair.candidate)}"
    subject = capitalized(measured.counted_size.subject)
    sentence = (
        f"{subject} {'shrank' if pair.ratio > 1 else 'did not shrink'}, from {shrank} ({number(pair.ratio)}×), "
        f"{against(status, f'the {number(limit)}× required', at_least=True)}."
    )
    return ConstraintVerdict(
        constraint="min_size_reduction",
        limit=limit,
        measured=ratio,
        unit="×",
        status=status,
        margin=pair.ratio - limit,
        sentence=sentence,
    )


def exact_bytes_verdict(constraint: str, subject: str, pair: Pair, limit: int) -> ConstraintVerdict:
    measured = Estimate(value=pair.candidate)
    status = decide(measured, limit, "at most")
    place = against(status, f"the limit of {number_of_bytes(limit)}")
    return ConstraintVerdict(
        constraint=constraint,
        limit=limit,
        measured=measured,
        unit="bytes",
        status=status,
        margin=limit - pair.candidate,
        sentence=capitalized(f"{subject} {number_of_bytes(pair.candidate)}, {place}."),
    )
