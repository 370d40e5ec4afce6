"""Why a candidate is slow: the profiles of both models, operator by operator. Everything except `slowdown_of` is pure.

Operators are matched by what they compute (`operator_times.family`), whatever the kernel, and layers by their names, if
the candidate kept them. If a runtime does not time operators, only their counts are compared.
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
"""A candidate with a smaller speed-up than this is explained."""
SHORT_OF_PREDICTION = 2.0
"""A candidate is also explained if its predicted speed-up is this many times the measured one."""
PROFILE_S = 1.0
MOST_RUNS = 10
MOST_ROWS = 8
NOTICED_SHARE = 0.01
"""Share of the slower model's time. Smaller changes are left out of the tables."""
_NAME_ENDINGS = ("_quant", "_MatMul")
"""Suffixes that ONNX Runtime's quantizer adds to the name of a replaced operator, possibly several in a row."""
_SLOW_KERNELS = {
    "ConvInteger": (
        "ConvInteger is ONNX Runtime's kernel for value ranges that are computed while the model runs. It is slow, "
        "most of all with signed weights. Static quantization measures the ranges beforehand and runs as QLinearConv."
    ),
}
_WIDE = frozenset({"int16", "uint16"})
_INTEGER_MARKS = ("QLinear", "Integer", "QGemm", "DynamicQuantizeMatMul", "QAttention")


class Profiled(NamedTuple):
    """A model as its runtime ran it: the times of its operators or, if it does not time them, their number by kind."""

    times: OperatorTimes | None
    counts: Counter[str]


def is_slow(report: EvaluationReport, predicted: float | None) -> bool:
    """Whether a slowdown needs an explanation: hardly faster than the original, or much slower than `predicted`."""
    speedup = report.latency.speedup.value
    return speedup < SLOW or (predicted is not None and speedup * SHORT_OF_PREDICTION < predicted)


def slowdown_of(
    original: Engine, candidate: Engine, feeds: Feeds, target: Target, report: EvaluationReport
) -> Slowdown:
    """Profile both models on `feeds` for about a second each. A model that cannot be profiled is reported as a hint."""
    latency = report.latency
    before, why_not = _profiled(original, feeds, target, latency.original.p50_ms)
    after, nor_that = _profiled(candidate, feeds, target, latency.candidate.p50_ms)
    found = explain(before, after, report.machine, target, latency.speedup.value)
    unprofiled = [f"The {name} {why}" for name, why in (("original", why_not), ("candidate", nor_that)) if why]
    return found.model_copy(update={"hints": (*found.hints, *unprofiled)})


def _profiled(engine: Engine, feeds: Feeds, target: Target, p50_ms: float) -> tuple[Profiled, str]:
    """The profile, and why it has no times, as the end of a sentence; empty if it has times."""
    runs = max(1, min(MOST_RUNS, round(PROFILE_S * 1000 / max(p50_ms, 1e-3))))
    times, why_not = None, "runs as a whole: its runtime reports how many operators there are, but not their times."
    try:
        times = engine.profile(feeds, target, runs)
    except UserError as error:
        why_not = f"could not be profiled: {error.message}"
    if times is None:
        return Profiled(None, Counter(engine.summary.operators)), why_not
    return Profiled(times, Counter(one.op_type for one in times)), ""


def explain(original: Profiled, candidate: Profiled, machine: Machine, target: Target, speedup: float) -> Slowdown:
    """What grew, what was inserted, and what that means for a candidate with this `speedup`."""
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
    """Changes by kind of operator, the largest increase first; without times, the increase in number."""
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
    """Layers that have the same name in both models and became slower, the largest increase first."""
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
    """Conversions that the candidate has more of, the slowest first."""
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


# --- hints -----------------------------------------------------------------------------------------------------------


def _of_kernels(candidate: Profiled, *, plain: bool) -> Iterator[str]:
    """`plain`: the machine lacks instructions for 8-bit products."""
    yield from (sentence for op, sentence in _SLOW_KERNELS.items() if op in candidate.counts)
    yield from _islands(candidate.times or ())
    if plain and any(mark in op for op in candidate.counts for mark in _INTEGER_MARKS):
        yield (
            "This machine has no instructions for sums of 8-bit products (VNNI or AMX on x86). Integer kernels need "
            "several instructions for each, and gain little over float32."
        )


def _of_conversions(conversions: Iterable[Conversion], total_ms: float | None) -> Iterator[str]:
    counts = [f"{one.count} {one.kind}" for one in conversions]
    if counts and total_ms is not None:
        spent = sum(one.ms or 0.0 for one in conversions)
        yield (
            f"Conversions, which compute nothing, take {number(spent)} ms of the {number(total_ms)} ms of all "
            f"operators: {', '.join(counts)}."
        )
    elif counts:
        yield f"Conversions, which compute nothing, were inserted: {', '.join(counts)}."


def _of_totals(totals: list[float | None], speedup: float) -> Iterator[str]:
    before, after = totals
    if speedup < 1 and before is not None and after is not None and after <= before:
        yield (
            f"All operators together take {number(after)} ms, those of the original {number(before)} ms. The extra "
            "time is spent between the operators, not in them."
        )


def _islands(times: OperatorTimes) -> Iterator[str]:
    """Float operators between conversions, although the runtime was asked for integer ones."""
    for kind, plural in ((CONVOLUTION, "convolutions"), (PRODUCT, "matrix products")):
        those = [one for one in times if family(one.op_type) == kind]
        floats = [one for one in those if one.dequantized]
        if floats:
            types = sorted({one.dequantized for one in floats})
            wide = " The runtime has no integer kernel for 16-bit numbers." if _WIDE.intersection(types) else ""
            yield (
                f"{len(floats)} of {len(those)} {plural} run in float, in {number(_total(floats))} ms: the runtime "
                f"could not fuse them with the conversions around them, so their numbers ({', '.join(types)}) are "
                f"converted to float before and back after each.{wide}"
            )


def _total(times: Iterable[TimedOperator]) -> float:
    return sum(one.time_ms for one in times)


def target_of(report: EvaluationReport, target: Target) -> Target:
    """The target, at the batch size at which the report's latency was measured."""
    return target.model_copy(update={"batch_size": report.latency.original.batch_size})
