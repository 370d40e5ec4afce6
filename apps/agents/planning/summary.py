"""A plan and its predictions in sentences."""

from __future__ import annotations

from apps.agents.compatibility import what_is_left
from apps.agents.criteria import Criteria, Device
from apps.agents.lineage import runtime_of
from apps.agents.planning.bases import Bases
from apps.agents.planning.prediction import ONNX_EXPORT
from apps.agents.planning.profile import GraphProfile
from apps.agents.state import CandidateRecord, Prediction
from apps.agents.techniques import Risk

NEARLY_EQUAL = 1.05
"""Two runtimes whose latencies lie within five per cent are equally fast: each was measured on its own."""


def describe(prediction: Prediction, profile: GraphProfile) -> str:
    """A prediction in words with its numbers; what a language model loses is told as perplexity."""
    unit = "of perplexity" if profile.perplexity else "points"
    loss = (
        "next to no loss"
        if prediction.risk == Risk.NONE
        else f"a loss of about {prediction.metric_drop_points:.2g} {unit}"
    )
    return (
        f"{prediction.speedup:.2f}× as fast, {prediction.size_ratio:.2f} times smaller, {loss} (risk {prediction.risk})"
    )


def summary(bases: Bases, candidates: tuple[CandidateRecord, ...], criteria: Criteria) -> str:
    """The plan in a few sentences: the aim, where the time goes, which runtime to deploy on, what is tried first."""
    where = "CUDA" if criteria.target.device is Device.CUDA else "CPU"
    aim = f"Objective {criteria.objective.value} on {where}"
    known = [sentence for sentence in (_runtimes(bases), what_is_left(bases.original.model)) if sentence]
    if not candidates:
        return " ".join([f"{aim}: no technique can be tried; the original stands.", *known])
    first = candidates[0]
    tries = f"{len(candidates)} candidate{'s' if len(candidates) > 1 else ''}, at most {criteria.budget.candidates}"
    start = (
        f"{tries} to be measured; first {first.title}, predicted {describe(first.predicted, bases.original.profile)}."
    )
    return " ".join([f"{aim}: {_shares(bases.original.profile)}.", *known, start, *_later(bases, candidates)])


def _later(bases: Bases, candidates: tuple[CandidateRecord, ...]) -> list[str]:
    """What a preview cannot weigh yet."""
    exports = any(candidate.technique == ONNX_EXPORT for candidate in candidates)
    if not exports or bases.original.profile.measured:
        return []
    return ["ONNX techniques are weighed as well, as soon as the exported model is analysed."]


def _shares(profile: GraphProfile) -> str:
    if not profile.measured:
        return "times and sensitivities are not known before the analysis"
    return (
        f"convolutions take {profile.convolution_share:.0%} and matrix products {profile.product_share:.0%} of the time"
    )


def _runtimes(bases: Bases) -> str | None:
    """Which runtime to deploy the float model on, by the latencies of both analyses."""
    if bases.exported is None or bases.original.profile.latency_ms is None:
        return None
    first, second = runtime_of(bases.original.model.format), runtime_of(bases.exported.model.format)
    before_ms, after_ms = bases.original.profile.latency_ms, bases.exported.profile.latency_ms or 0.0
    measured = f"The float model takes {before_ms:.3g} ms in {first} and {after_ms:.3g} ms in {second}"
    speedup = bases.exported.profile.lead.speedup
    if 1 / NEARLY_EQUAL <= speedup <= NEARLY_EQUAL:
        return f"{measured}: there is nothing to choose between the two."
    better = second if speedup > 1 else first
    return f"{measured}: deploy it on {better}, which is {max(speedup, 1 / speedup):.2f}× as fast."
