"""A plan and its predictions in sentences."""

from __future__ import annotations

from apps.agents.contracts.criteria import Criteria, Device
from apps.agents.contracts.phrasing import listed
from apps.agents.contracts.state import CandidateRecord, Prediction
from apps.agents.planning.bases import Bases
from apps.agents.planning.minutes import against_the_budget
from apps.agents.techniques.artifact_format import runtime_of
from apps.agents.techniques.catalogue import Family, Risk, catalogue
from apps.agents.techniques.compatibility import format_label, what_is_left
from apps.agents.techniques.knowledge.kernels import Kind
from apps.agents.techniques.knowledge.profile import GraphProfile

WORTH_A_WORD = 0.05
"""The plan mentions embedding tables if they take at least this share of the bytes."""
NEARLY_EQUAL = 1.05
"""Two runtimes with latencies within five per cent count as equally fast, because each was measured separately."""


def describe(prediction: Prediction, profile: GraphProfile) -> str:
    """A prediction in words and numbers. The loss of a language model is given as perplexity."""
    unit = "of perplexity" if profile.perplexity else "points"
    loss = (
        "next to no loss"
        if prediction.risk == Risk.NONE
        else f"a loss of about {prediction.metric_drop_points:.2g} {unit}"
    )
    if prediction.metric_drop_high is not None:
        loss += f", or up to {prediction.metric_drop_high:.2g}, because nothing similar was measured"
    return (
        f"{prediction.speedup:.2f}× as fast, {prediction.size_ratio:.2f} times smaller, {loss} (risk {prediction.risk})"
    )


def tables_in_words(profile: GraphProfile, changed: set[str]) -> str | None:
    """What happens to the token table and the output head; `None` if they are a small share of the bytes.

    `changed` contains the operator types that the variant narrows.
    """
    tables = [node for node in profile.nodes if node.kind is Kind.TABLE]
    share = sum(node.weight_bytes for node in tables) / profile.size_bytes if profile.size_bytes else 0.0
    if share < WORTH_A_WORD:
        return None
    name = "token table, which is the output head as well," if profile.tied else "embedding table"
    if changed & {node.op_type for node in tables}:
        return f"The {name} is narrowed with the rest: {share:.0%} of the bytes."
    head = "" if profile.tied or not profile.generative else " and so does the output head"
    return f"The {name} stays in float{head}: {share:.0%} of the bytes."


def summary(bases: Bases, candidates: tuple[CandidateRecord, ...], criteria: Criteria) -> str:
    """The plan in a few sentences: the objective, where the time goes, the best runtime, and the first candidate."""
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
    time = against_the_budget(candidates, criteria)
    sentences = [*known, start, *([time] if time else []), *_later(bases, candidates)]
    return " ".join([f"{aim}: {_shares(bases.original.profile)}.", *sentences])


def _later(bases: Bases, candidates: tuple[CandidateRecord, ...]) -> list[str]:
    """The techniques that a preview cannot weigh yet, in a sentence."""
    if bases.original.profile.measured:
        return []
    specs = [catalogue().get(candidate.technique) for candidate in candidates]
    targets = [format_label(spec.output_format or "") for spec in specs if spec and spec.family is Family.EXPORT]
    if not targets:
        return []
    each = "the exported model is" if len(targets) == 1 else "each exported model is"
    return [f"{' and '.join(targets)} techniques are weighed as well, as soon as {each} analysed."]


def _shares(profile: GraphProfile) -> str:
    if not profile.measured:
        return "times and sensitivities are not known before the analysis"
    kinds = {node.kind for node in profile.nodes}
    parts = []
    if kinds & {Kind.CONVOLUTION, Kind.DEPTHWISE}:
        parts.append(f"convolutions take {profile.convolution_share:.0%}")
    if Kind.PRODUCT in kinds:
        parts.append(f"matrix products {'' if parts else 'take '}{profile.product_share:.0%}")
    if parts:
        return f"{' and '.join(parts)} of the time"
    top = sorted(profile.time_by_operator.items(), key=lambda item: -item[1])[:2]
    shares = [f"{op_type} {share:.0%}" for op_type, share in top if share]
    return f"of the time {' and '.join(shares)}" if shares else "it is not known where the time goes"


def _runtimes(bases: Bases) -> str | None:
    """The runtime on which to deploy the float model, according to the latencies of all analyses."""
    analyses = [basis.analysis for basis in bases.forms if basis.analysis is not None]
    if len(analyses) < 2:
        return None
    first = runtime_of(analyses[0].model.format)
    times = {runtime_of(one.model.format): one.latency.p50_ms for one in analyses}
    times |= {mode.name: mode.latency.p50_ms for one in analyses for mode in one.modes}
    measured = f"The float model takes {listed([f'{time:.3g} ms in {name}' for name, time in times.items()])}"
    best, next_best = sorted(times, key=lambda name: times[name])[:2]
    other = first if best != first else next_best
    speedup = times[other] / max(times[best], 1e-6)
    if speedup <= NEARLY_EQUAL:
        return f"{measured}: both are equally fast." if len(times) == 2 else f"{measured}."
    than = "" if len(times) == 2 else f" as {other}"
    return f"{measured}: deploy it on {best}, which is {speedup:.2f}× as fast{than}."
