"""Detects gains that are too good to be true. Pure functions.

An implausible candidate is never accepted: either a measurement or a file is wrong, and a person has to look at it.
"""

from __future__ import annotations

from collections.abc import Sequence

from apps.agents.contracts.dataset_spec import DatasetSpec, Metric
from apps.agents.contracts.number_types import BITS
from apps.agents.contracts.phrasing import difference_unit, number, number_of_bytes, with_unit
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.metrics import POINT_UNITS, MetricComparison
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.reports.runtimes import RuntimeBaseline

PACKED_OPERATORS = frozenset({"MatMulNBits", "GatherBlockQuantized", "MatMulBnb4", "QMoE"})
"""Operators whose uint8 weights hold two 4-bit numbers per byte. An ONNX file does not declare this."""

SIZE_TOLERANCE = 0.95
"""Shared or folded constants make a file a little smaller than its bits suggest."""
SMALLEST_SHARE = 0.05
"""A type counts as the candidate's smallest only if it holds at least this share of the weights."""
SPEED_FACTOR = 3.0
"""Moving fewer bits saves time in proportion, and narrow arithmetic may double that (VNNI computes four int8 products
in the time of one AVX-512 float32 product). The fastest genuine case measured is 4.8 times at an equal number of bits
per weight."""
RUNTIME_FACTOR = 10.0
"""What another runtime may add if the float model was not measured in it: an eager framework spends microseconds on
every call, independent of the weights."""
ALONE_FACTOR = 2.0
"""How much the ratio of two separately measured latencies may be wrong."""
EQUAL_SQNR_DB = 60.0
"""Outputs this close over all examples are equal on each except for rounding, so all the work was done."""
SIZE_FACTOR = 4.0
"""A training file also holds an optimizer's two copies of the weights, and some program."""
CONTAINER_FACTOR = 3.0
"""What another format may save in addition."""
PROGRAM_BYTES = 1_000_000
"""What a file may plausibly hold in addition to weights."""
GAIN_POINTS = 3.0
GAIN_RELATIVE = 0.10
"""An optimized copy that is significantly better by more than this has probably seen the test examples."""

AGREES_PERCENT = 90.0
"""From this top-1 agreement on, a candidate is considered to imitate the original."""


def implausible_gains(
    original: ModelSummary,
    candidate: ModelSummary,
    speedup: Estimate,
    primary: MetricComparison,
    *,
    keeps_parameters: bool,
    baseline: RuntimeBaseline | None = None,
    sqnr_db: float = 0.0,
) -> tuple[str, ...]:
    """One sentence for each gain that exceeds what the bits allow.

    `baseline` is the float model in the candidate's runtime, if that differs from the original's: the runtime's share
    of the gain needs no explanation by bits. Equal outputs (`sqnr_db`) show that all the work was done.

    `keeps_parameters`: the technique changes only number types and the graph. If it removes parameters (pruning,
    distillation), the original's parameter count does not determine the candidate's size.
    """
    found = (
        _smaller_than_its_weights(candidate),
        _smaller_than_its_bits(original, candidate) if keeps_parameters else None,
        _smaller_than_bits_explain(original, candidate),
        too_fast(original, candidate, speedup, baseline, sqnr_db),
        _too_good(primary),
    )
    return tuple(sentence for sentence in found if sentence)


def weight_bytes(model: ModelSummary) -> float:
    """Size of the weights, by their types."""
    return sum(count * BITS.get(dtype, 0) for dtype, count in model.weight_dtypes.items()) / 8


def smallest_bits(model: ModelSummary) -> int | None:
    """The fewest bits per weight that a fair share of the weights has; `None` if the types are unknown."""
    total = sum(model.weight_dtypes.values())
    bits = [BITS[t] for t, n in model.weight_dtypes.items() if t in BITS and n >= SMALLEST_SHARE * total]
    if bits and min(bits) == 8 and PACKED_OPERATORS & model.operators.keys():
        return 4
    return min(bits, default=None)


def _smaller_than_its_weights(candidate: ModelSummary) -> str | None:
    needed = weight_bytes(candidate)
    if candidate.size_bytes >= SIZE_TOLERANCE * needed:
        return None
    return (
        f"The candidate's file has {number_of_bytes(candidate.size_bytes)}, but the weights that it declares take "
        f"{number_of_bytes(needed)}."
    )


def _smaller_than_its_bits(original: ModelSummary, candidate: ModelSummary) -> str | None:
    bits = smallest_bits(candidate)
    if bits is None or not original.weight_dtypes:
        return None
    # Former integers (shapes, indices) may shrink to any size; float weights cannot.
    floats = sum(count for dtype, count in original.weight_dtypes.items() if dtype.startswith(("float", "bfloat")))
    floats -= _repeated_tables(original)
    needed = floats * bits / 8
    if candidate.size_bytes >= SIZE_TOLERANCE * needed:
        return None
    return (
        f"The file is {number(original.size_bytes / max(1, candidate.size_bytes))} times smaller, but the original's "
        f"{floats:,} weights would take {number_of_bytes(needed)} at {bits} bits each, not "
        f"{number_of_bytes(candidate.size_bytes)}: weights are missing."
    )


def _repeated_tables(model: ModelSummary) -> int:
    """Parameters of an embedding table that is also the output head and is stored in the file one time too many."""
    language = model.language
    if language is None or not language.tied_embeddings:
        return 0
    shapes = [weight.shape for weight in model.weights if len(weight.shape) == 2]
    tables = sum(int(rows) * int(size) for rows, size in shapes if rows == language.vocabulary and rows and size)
    return max(0, tables - language.embedding_parameters)


def _smaller_than_bits_explain(original: ModelSummary, candidate: ModelSummary) -> str | None:
    """If the original's file is mostly not weights, removing the rest is not a gain."""
    before, after = weight_bytes(original), weight_bytes(candidate)
    if not before or not after or original.size_bytes <= SIZE_FACTOR * before + PROGRAM_BYTES:
        return None
    ratio = original.size_bytes / max(1, candidate.size_bytes)
    allowed = SIZE_FACTOR * max(1.0, before / after) * (CONTAINER_FACTOR if original.format != candidate.format else 1)
    if ratio <= allowed:
        return None
    return (
        f"The file is {number(ratio)} times smaller, but {number(before / after)} times fewer bytes of weights "
        f"explain at most {number(allowed)} times: only {number_of_bytes(before)} of the original's "
        f"{number_of_bytes(original.size_bytes)} are weights."
    )


def too_fast(
    original: ModelSummary,
    candidate: ModelSummary,
    speedup: Estimate,
    baseline: RuntimeBaseline | None,
    sqnr_db: float,
) -> str | None:
    """Why nothing explains this `speedup`, in a sentence; `None` if the bits, the runtime or equal outputs explain
    it."""
    if sqnr_db >= EQUAL_SQNR_DB:
        return None
    before, after = weight_bytes(original), weight_bytes(candidate)
    if not before or not after:
        return None
    allowed = SPEED_FACTOR * max(1.0, before / after)
    runtime, than = 1.0, ""
    if baseline is not None and baseline.speedup > 0:
        runtime, than = baseline.speedup, f" as the float model in {baseline.runtime}"
        allowed *= 1.0 if baseline.in_turns else ALONE_FACTOR
    elif original.format != candidate.format:
        allowed *= RUNTIME_FACTOR
    low = (speedup.value if speedup.low is None else speedup.low) / runtime
    if low <= allowed:
        return None
    return (
        f"The candidate is {number(speedup.value / runtime)} times as fast{than}, but {number(before / after)} times "
        f"fewer bytes of weights explain at most {number(allowed)} times: part of the work is probably not done."
    )


def _too_good(primary: MetricComparison) -> str | None:
    high = primary.drop.value if primary.drop.high is None else primary.drop.high
    allowed = GAIN_POINTS if primary.unit in POINT_UNITS else GAIN_RELATIVE * abs(primary.original.value)
    if high >= -allowed or high >= 0:
        return None
    return (
        f"{primary.label} is better by {with_unit(-primary.drop.value, difference_unit(primary.unit))}, more than "
        "chance explains: the candidate has probably seen the test examples."
    )


def unrelated_outputs(metrics: Sequence[MetricComparison], spec: DatasetSpec) -> tuple[str, ...]:
    """A sentence if the classes agree, the numbers are unrelated, and the member has not chosen which of them counts.

    Without labels, an output `[batch, n]` is assumed to be class scores. If it is n numbers to predict instead, the
    position of the largest does not reveal a different scale or offset.
    """
    if spec.task is not Task.FIDELITY or spec.metric is not None:
        return ()
    found = {comparison.metric: comparison.candidate.value for comparison in metrics}
    agreement, r2 = found.get(Metric.AGREEMENT), found.get(Metric.R2)
    if agreement is None or r2 is None or agreement < AGREES_PERCENT or r2 > 0:
        return ()
    return (
        f"The position of its largest number matches the original's on {number(agreement)} % of the examples, but the "
        f"numbers themselves are unrelated to the original's (R² × 100 of {number(r2)}). If they are class scores, "
        "choose agreement as the data set's metric; if they are numbers to predict, choose R².",
    )


def suspicions(original: ModelSummary, candidate: ModelSummary, *, identical_outputs: bool) -> tuple[str, ...]:
    """What is odd but harmless, as notes."""
    if identical_outputs and original.weight_dtypes != candidate.weight_dtypes:
        return (
            "The candidate's weights have other types than the original's, but every output is identical to the last "
            "bit: the change may have had no effect.",
        )
    return ()
