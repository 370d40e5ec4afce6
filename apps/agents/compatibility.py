"""Which techniques of the catalogue can do anything for a model, and why not.

Light and pure: the page shows it before a session starts, the analysis repeats it with what it found. Whether a
technique is *allowed* is the criteria's business, not this module's.
"""

from __future__ import annotations

from collections.abc import Iterable

from apps.agents.reports import Compatibility, DatasetSummary, ModelSummary
from apps.agents.techniques import Family, TechniqueSpec, catalogue, missing_libraries

FULL_PRECISION = frozenset({"float32", "float64"})
HALF_PRECISION = frozenset({"float16", "bfloat16"})
QUANTIZED_TYPES = frozenset(
    {"int8", "uint8", "int4", "uint4", "int2", "uint2"}
    | {"float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "float4e2m1"}
)
QUANTIZED_OPERATORS = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger"}
    | {"MatMulInteger", "MatMulNBits", "QGemm", "GatherBlockQuantized", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"}
)
ENOUGH_LEFT = 0.5
"""A quantization is worth while where at least this share of the weights is still in full precision."""


def compatibility(
    summary: ModelSummary,
    installed: Iterable[str] | None,
    dataset: DatasetSummary | None,
    techniques: Iterable[TechniqueSpec] | None = None,
) -> tuple[Compatibility, ...]:
    """For every technique whether it can be applied to the model, with the reason, in the catalogue's order.

    `installed` are the distributions that workers have; `None` when no worker has said yet, and then nothing is
    concluded from it. Without a `dataset` there is nothing to calibrate on.
    """
    have = None if installed is None else tuple(installed)
    specs = catalogue().values() if techniques is None else techniques
    return tuple(_judge(spec, summary, have, dataset) for spec in specs)


def weight_shares(summary: ModelSummary) -> tuple[float, float, float]:
    """Shares of the weights in full precision, in half, and quantized, 0 to 1; indices and flags are no weights."""
    counts = [
        sum(count for dtype, count in summary.weight_dtypes.items() if dtype in group)
        for group in (FULL_PRECISION, HALF_PRECISION, QUANTIZED_TYPES)
    ]
    total = sum(counts)
    full, half, quantized = (count / total if total else 0.0 for count in counts)
    return full, half, quantized


def _judge(
    spec: TechniqueSpec, summary: ModelSummary, installed: tuple[str, ...] | None, dataset: DatasetSummary | None
) -> Compatibility:
    obstacle = _obstacle(spec, summary, installed, dataset)
    reason = obstacle or _why_it_fits(spec, summary)
    return Compatibility(technique=spec.name, compatible=obstacle is None, reason=reason)


def _obstacle(
    spec: TechniqueSpec, summary: ModelSummary, installed: tuple[str, ...] | None, dataset: DatasetSummary | None
) -> str | None:
    if summary.format not in spec.formats:
        return f"It takes {' or '.join(spec.formats)}, and the model is {summary.format}."
    missing = () if installed is None else missing_libraries(spec, installed)
    if missing:
        return f"No worker has {' and '.join(missing)} installed."
    if spec.acts_on and not summary.operators.keys() & set(spec.acts_on):
        return f"It works on {', '.join(spec.acts_on)}, and the model has none of them."
    if spec.family is Family.QUANTIZATION and (nothing_left := _nothing_left(summary)):
        return nothing_left
    if spec.needs_calibration and (dataset is None or dataset.examples == 0):
        return "It measures ranges on calibration data, and there is no data set."
    return None


def _nothing_left(summary: ModelSummary) -> str | None:
    """Why quantizing (again) wins nothing; `None` where enough weights are in full precision."""
    full, half, quantized = weight_shares(summary)
    if full >= ENOUGH_LEFT:
        return None
    if full + half + quantized == 0:
        return "The model stores no weights that could take fewer bits."
    if quantized >= half:
        return (
            f"The model is quantized already: {quantized:.0%} of its weights take 8 bits or fewer, and only the "
            f"{full:.0%} still in float32 could gain."
        )
    return f"{half:.0%} of the weights are in half precision already, and this technique starts from float32."


def _why_it_fits(spec: TechniqueSpec, summary: ModelSummary) -> str:
    if not spec.acts_on:
        return f"It takes any {summary.format} model."
    counts = {name: summary.operators[name] for name in spec.acts_on if name in summary.operators}
    named = ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda item: -item[1])[:4])
    already = sorted(summary.operators.keys() & QUANTIZED_OPERATORS)
    if already:
        full = weight_shares(summary)[0]
        return f"It works on {named}; {full:.0%} of the weights are still in float32, the rest is quantized already."
    return f"It works on {named}."
