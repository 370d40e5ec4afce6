"""Why a candidate is slow: the profiles of both models, operator by operator. All but `slowdown_of` is pure.

Operators are held together by what they compute (`operator_times.family`), whichever kernel does it, and layers by
their names, where the candidate kept them. Where a runtime times no operators, their counts by inspection stand alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.phrasing import number
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.machine import Machine
from apps.agents.contracts.reports.slowdown import Conversion, OperatorChange, Slowdown
from apps.agents.measuring.engine import Engine, Feeds
from apps.agents.measuring.machine_class import MachineClass, machine_class
from apps.agents.measuring.operator_times import CONVERSIONS, CONVOLUTION, PRODUCT, OperatorTimes, TimedOperator, family
from apps.errors import UserError

SLOW = 1.05
"""A candidate that is less than this many times as fast is asked why."""
SHORT_OF_PREDICTION = 2.0
"""So is one that was predicted to be this many times faster than it is."""
PROFILE_S = 1.0
MOST_RUNS = 10
MOST_ROWS = 8
NOTICED_SHARE = 0.01
"""Of the time of the slower model: what changed by less stands in no table."""
_NAME_ENDINGS = ("_quant", "_MatMul")
"""What ONNX Runtime's quantizer adds to the name of an operator that it replaces; it may add one behind the other."""
_SLOW_KERNELS = {
    "ConvInteger": (
        "ConvInteger is ONNX Runtime's kernel for ranges that are taken while the model runs: it is slow, and slowest "
        "with signed weights. A static quantization, whose ranges are measured beforehand, runs as QLinearConv."
    ),
}
_WIDE = frozenset({"int16", "uint16"})
_INTEGER_MARKS = ("QLinear", "Integer", "QGemm", "DynamicQuantizeMatMul", "QAttention")


class Profiled(NamedTuple):
    """A model as its runtime ran it: its operators' times, or where it times none, how many of each kind there are."""

    times: OperatorTimes | None
    counts: Counter[str]


def is_slow(report: EvaluationReport, predicted: float | None) -> bool:
    """Whether somebody will ask why: hardly faster than the original, or much less so than `predicted`."""
    speedup = report.latency.speedup.value
    return speedup < SLOW or (predicted is not None and speedup * SHORT_OF_PREDICTION < predicted)


def slowdown_of(
    original: Engine, candidate: Engine, feeds: Feeds, target: Target, report: EvaluationReport
) -> Slowdown:
    """Profiles both models on `feeds` for about a second each. What cannot be profiled is told as a hint."""
    latency = report.latency
    before, why_not = _profiled(original, feeds, target, latency.original.p50_ms)
    after, nor_that = _profiled(candidate, feeds, target, latency.candidate.p50_ms)
    found = explain(before, after, report.machine, target, latency.speedup.value)
    untold = [f"The {name} {why}" for name, why in (("original", why_not), ("candidate", nor_that)) if why]
    return found.model_copy(update={"hints": (*found.hints, *untold)})


def _profiled(engine: Engine, feeds: Feeds, target: Target, p50_ms: float) -> tuple[Profiled, str]:
    """The profile, and why it has no times, completing a sentence; empty where it has."""
    runs = max(1, min(MOST_RUNS, round(PROFILE_S * 1000 / max(p50_ms, 1e-3))))
    times, why_not = None, "runs as a whole: its runtime tells how many operators there are, not what each takes."
    try:
        times = engine.profile(feeds, target, runs)
    except UserError as error:
        why_not = f"could not be profiled: {error.message}"
    if times is None:
        return Profiled(None, Counter(engine.summary.operators)), why_not
    return Profiled(times, Counter(one.op_type for one in times)), ""


def explain(original: Profiled, candidate: Profiled, machine: Machine, target: Target, speedup: float) -> Slowdown:
    """What grew, what was put in between, and what that says of a candidate with this `speedup`."""
    totals = [None if one.times is None else sum(op.time_ms for op in one.times) for one in (original, candidate)]
    noticed_ms = NOTICED_SHARE * max(total or 0.0 for total in totals)
    conversions = tuple(_conversions(original, candidate))
    flags = frozenset(machine.flags)
    plain = bool(flags) and machine_class(target.device, flags) is MachineClass.PLAIN
    return Slowdown(
        original_ms=totals[0],
        candidate_ms=totals[1],
        operators=tuple(_operators(original, candidate, noticed_ms)[:MOST_ROWS]),
        layers=tuple(_layers(original.times or (), candidate.times or (), noticed_ms)[:MOST_ROWS]),
        conversions=conversions,
        hints=(
            *_of_kernels(candidate, plain=plain),
            *_of_conversions(conversions, totals[1]),
            *_of_totals(totals, speedup),
        ),
    )


# --- the tables ------------------------------------------------------------------------------------------------------


def _operators(original: Profiled, candidate: Profiled, noticed_ms: float) -> list[OperatorChange]:
    """By what they compute, what grew most first; without times, what has become more."""
    computed = dict.fromkeys(family(op) for one in (candidate, original) for op in one.counts if op not in CONVERSIONS)
    changes = [_change(kind, original, candidate) for kind in computed]
    if original.times is None or candidate.times is None:
        changed = [one for one in changes if one.original_count != one.candidate_count or "→" in one.name]
        return sorted(changed, key=lambda one: one.original_count - one.candidate_count)
    changed = [one for one in changes if abs(one.difference_ms or 0.0) >= noticed_ms]
    return sorted(changed, key=lambda one: -(one.difference_ms or 0.0))


def _change(kind: str, original: Profiled, candidate: Profiled) -> OperatorChange:
    before, after = (
        {op: count for op, count in one.counts.items() if family(op) == kind and op not in CONVERSIONS}
        for one in (original, candidate)
    )
    names = [", ".join(sorted(ops, key=lambda op: -ops[op])) for ops in (before, after) if ops]
    before_ms, after_ms = (
        None if one.times is None else sum(op.time_ms for op in one.times if op.op_type in ops)
        for one, ops in ((original, before), (candidate, after))
    )
    return OperatorChange(
        name=" → ".join(dict.fromkeys(names)),
        original_count=sum(before.values()),
        candidate_count=sum(after.values()),
        original_ms=before_ms,
        candidate_ms=after_ms,
        difference_ms=None if before_ms is None or after_ms is None else after_ms - before_ms,
    )


def _layers(original: OperatorTimes, candidate: OperatorTimes, noticed_ms: float) -> list[OperatorChange]:
    """Layers that both models have by one name and that grew, what grew most first."""
    before, after = (_by_layer(times) for times in (original, candidate))
    grown = [
        OperatorChange(
            name=name,
            original_count=len(before[name]),
            candidate_count=len(after[name]),
            original_ms=(was := sum(before[name])),
            candidate_ms=(took := sum(after[name])),
            difference_ms=took - was,
        )
        for name in after
        if name in before
    ]
    return sorted(
        (one for one in grown if (one.difference_ms or 0.0) >= noticed_ms), key=lambda one: -(one.difference_ms or 0.0)
    )


def _by_layer(times: OperatorTimes) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for one in times:
        if one.name and one.op_type not in CONVERSIONS:
            found.setdefault(_original_name(one.name), []).append(one.time_ms)
    return found


def _original_name(name: str) -> str:
    for ending in _NAME_ENDINGS:
        name = name.removesuffix(ending)
    return name


def _conversions(original: Profiled, candidate: Profiled) -> Iterator[Conversion]:
    """Those of which the candidate has more, the slowest first."""
    found = [
        Conversion(
            kind=op,
            original_count=original.counts[op],
            count=count,
            ms=None if candidate.times is None else sum(one.time_ms for one in candidate.times if one.op_type == op),
        )
        for op, count in candidate.counts.items()
        if op in CONVERSIONS and count > original.counts[op]
    ]
    yield from sorted(found, key=lambda one: (-(one.ms or 0.0), -one.count))


# --- what they say ---------------------------------------------------------------------------------------------------


def _of_kernels(candidate: Profiled, *, plain: bool) -> Iterator[str]:
    """`plain` says that the machine lacks instructions for products of 8 bits."""
    yield from (sentence for op, sentence in _SLOW_KERNELS.items() if op in candidate.counts)
    yield from _islands(candidate.times or ())
    if plain and any(mark in op for op in candidate.counts for mark in _INTEGER_MARKS):
        yield (
            "This machine has no instructions for sums of 8-bit products (VNNI or AMX on x86): integer kernels need "
            "several instructions for each there, and gain little over float32."
        )


def _of_conversions(conversions: Iterable[Conversion], total_ms: float | None) -> Iterator[str]:
    told = [f"{one.count} {one.kind}" for one in conversions]
    if told and total_ms is not None:
        spent = sum(one.ms or 0.0 for one in conversions)
        yield (
            f"Conversions, which compute nothing, take {number(spent)} ms of {number(total_ms)} ms in all operators: "
            f"{', '.join(told)}."
        )
    elif told:
        yield f"Conversions, which compute nothing, were put in between: {', '.join(told)}."


def _of_totals(totals: list[float | None], speedup: float) -> Iterator[str]:
    before, after = totals
    if speedup < 1 and before is not None and after is not None and after <= before:
        yield (
            f"All operators together take {number(after)} ms, those of the original {number(before)} ms: what makes "
            "the candidate slower lies between the operators, not in them."
        )


def _islands(times: OperatorTimes) -> Iterator[str]:
    """Float operators between conversions, where the runtime was asked for integer ones."""
    for kind, plural in ((CONVOLUTION, "convolutions"), (PRODUCT, "matrix products")):
        those = [one for one in times if family(one.op_type) == kind]
        floats = [one for one in those if one.dequantized]
        if floats:
            types = sorted({one.dequantized for one in floats})
            wide = " Numbers of 16 bits have no integer kernel there." if _WIDE.intersection(types) else ""
            yield (
                f"{len(floats)} of {len(those)} {plural} run in float, in {number(_total(floats))} ms: the runtime "
                f"could not fuse them with the conversions around them, so their numbers ({', '.join(types)}) are "
                f"turned into float before each and back behind it.{wide}"
            )


def _total(times: Iterable[TimedOperator]) -> float:
    return sum(one.time_ms for one in times)


def target_of(report: EvaluationReport, target: Target) -> Target:
    """The target at the batch size that the report's latency was timed with."""
    return target.model_copy(update={"batch_size": report.latency.original.batch_size})
