"""Which techniques of the catalogue are compatible with a model, and if not, why.

Pure functions without heavy libraries: the page shows the result before a session starts, and the analysis repeats it
with its findings. Whether a technique is *allowed* is not decided here but by the criteria.

A technique is in reach if it takes the model's format, or a format to which the model can be exported. Techniques that
are not in reach share one line per framework.
"""

from __future__ import annotations

from collections.abc import Iterable

from apps.agents.contracts.formats import FORMATS, Format, FormatSpec, Framework
from apps.agents.contracts.reports.analysis import Compatibility
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.files.onnx_quantized import NARROW_TYPES, is_quantized_operator
from apps.agents.techniques.catalogue import Family, TechniqueSpec, catalogue, missing_libraries

FULL_PRECISION = frozenset({"float32", "float64"})
HALF_PRECISION = frozenset({"float16", "bfloat16"})
QUANTIZED_TYPES = NARROW_TYPES
PACKED_TYPES = frozenset({"int32"})
"""The type into which some libraries pack narrow weights. Otherwise it is used for indices."""
_START_FROM_HALVES = frozenset({Framework.TORCH, Framework.ONNX})
_RUN_IN_TORCH = frozenset({Framework.TORCH, Framework.ONNX})
_FRAMEWORKS = {
    Framework.ONNX: "ONNX",
    Framework.TORCH: "PyTorch",
    Framework.TENSORFLOW: "TensorFlow",
    Framework.LITERT: "LiteRT",
}
WORTH_NAMING = 0.05
"""A model with a smaller share of quantized weights was not quantized on purpose."""
ENOUGH_LEFT = 0.5
"""A quantization is worthwhile if at least this share of the weights is still in full precision."""
_REMOVING = (Family.PRUNING, Family.COMPRESSION, Family.ARCHITECTURE)
_FROM_FLOATS = (Family.QUANTIZATION, Family.CALIBRATION, Family.EXPORT, Family.TRAINING, *_REMOVING)
"""What starts from weights that are floats."""
_WHOLLY_FLOAT = (*_REMOVING, Family.CALIBRATION)
"""What does not work on a model of which some weights are quantized."""


def compatibility(
    summary: ModelSummary,
    installed: Iterable[str] | None,
    dataset: DatasetSummary | None,
    techniques: Iterable[TechniqueSpec] | None = None,
) -> tuple[Compatibility, ...]:
    """For every technique in reach: whether it can be applied to the model, and why. In the catalogue's order.

    At the end there is one entry for each framework whose techniques are not in reach, with the framework's name.
    `installed` are the distributions that workers have, or `None` if no worker has reported yet: then libraries are not
    checked. `dataset` is needed for techniques that calibrate.
    """
    have = None if installed is None else tuple(installed)
    specs = tuple(catalogue().values() if techniques is None else techniques)
    beyond = [spec for spec in specs if not in_reach(spec, summary)]
    judged = [_judge(spec, summary, have, dataset) for spec in specs if spec not in beyond]
    lines = [
        Compatibility(
            technique=framework,
            compatible=False,
            reason=f"They take {formats_taken(group)}, but this model's format is {format_label(summary.format)}.",
        )
        for framework, group in by_framework(beyond)
    ]
    return (*judged, *lines)


def in_reach(spec: TechniqueSpec, summary: ModelSummary) -> bool:
    """Whether `spec` takes the model or one of its exports."""
    return summary.format in spec.formats or exporter_for(spec, summary.format) is not None


def exporter_for(spec: TechniqueSpec, model_format: str) -> TechniqueSpec | None:
    """The export from this format to one that `spec` takes; `None` if it is not needed or there is none."""
    if model_format in spec.formats:
        return None
    exports = (other for other in catalogue().values() if other.family is Family.EXPORT)
    return next((one for one in exports if model_format in one.formats and one.output_format in spec.formats), None)


def by_framework(specs: Iterable[TechniqueSpec]) -> list[tuple[str, tuple[TechniqueSpec, ...]]]:
    """The techniques grouped by the framework whose models they take: its name and the techniques."""
    groups: dict[str, list[TechniqueSpec]] = {}
    for spec in specs:
        known = _format(spec.formats[0])
        groups.setdefault(_FRAMEWORKS[known.framework] if known else spec.formats[0], []).append(spec)
    return [(name, tuple(group)) for name, group in groups.items()]


def formats_taken(specs: Iterable[TechniqueSpec]) -> str:
    """The models that these techniques take: `a PyTorch exported program or a TorchScript archive`."""
    *most, last = dict.fromkeys(_a_model_in(name) for spec in specs for name in spec.formats)
    return f"{', '.join(most)} or {last}" if most else last


def _a_model_in(name: str) -> str:
    """A model in the format `name`, with its article: `a TorchScript archive`."""
    known = _format(name)
    return known.upload.partition(" (")[0] if known else f"a model in the format {name}"


def format_label(name: str) -> str:
    """The label of a format, or its name if it is not known here."""
    known = _format(name)
    return known.label if known else name


def _format(name: str) -> FormatSpec | None:
    return FORMATS.get(Format(name)) if name in set(Format) else None


def weight_shares(summary: ModelSummary) -> tuple[float, float, float]:
    """The shares of weights in full precision, in half precision, and quantized, from 0 to 1. Indices and flags do not
    count as weights."""
    narrow = QUANTIZED_TYPES | PACKED_TYPES if summary.quantization else QUANTIZED_TYPES
    counts = [
        sum(count for dtype, count in summary.weight_dtypes.items() if dtype in group)
        for group in (FULL_PRECISION, HALF_PRECISION, narrow)
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
    if not in_reach(spec, summary):
        return f"It takes {formats_taken([spec])}, but this model's format is {format_label(summary.format)}."
    exporter = exporter_for(spec, summary.format)
    needed = [spec] if exporter is None else [exporter, spec]
    missing = () if installed is None else [name for one in needed for name in missing_libraries(one, installed)]
    if missing:
        return f"No worker has {' and '.join(dict.fromkeys(missing))} installed."
    if why := why_no_teacher(spec, summary.format):
        return why
    if strings := strings_against(summary, exporter or spec):
        return f"{strings}."
    lacking = exporter is None and spec.acts_on and not summary.operators.keys() & set(spec.acts_on)
    if lacking and not summary.quantization:
        return f"It works on {', '.join(spec.acts_on)}, but the model has none of them."
    # An exported model computes in float32, whatever type the original is stored in.
    if nothing_left := _nothing_left(exporter or spec, summary):
        return nothing_left
    if lacking:
        return f"It works on {', '.join(spec.acts_on)}, but the model has none of them. {what_is_left(summary)}"
    if exporter is None and (why := spec.knowledge.why_not(summary)):
        return why
    if spec.needs_training and (dataset is None or dataset.training_examples == 0):
        return "It trains the model, but the data set has no training part (training_share)."
    if spec.needs_calibration and (dataset is None or dataset.examples == 0):
        return "It needs calibration data, but there is no data set."
    return None


def why_no_teacher(spec: TechniqueSpec, original_format: str) -> str | None:
    """Why an original in this format cannot teach in `spec`, in a sentence; `None` if it can, or need not.

    PyTorch runs its own formats and ONNX graphs, and is never imported in one process with TensorFlow.
    """
    known = _format(original_format)
    if known is None or known.framework in _RUN_IN_TORCH or not spec.inputs or "torch" not in spec.requires:
        return None
    return f"It learns from the original in PyTorch, which cannot run {_a_model_in(original_format)}."


def strings_against(summary: ModelSummary, spec: TechniqueSpec) -> str | None:
    """Why a technique cannot handle a model with string inputs or outputs; `None` if it can, or if there are none."""
    named = [one.name for one in (*summary.inputs, *summary.outputs) if one.dtype == "string"]
    if spec.takes_strings or not named:
        return None
    plural = "are strings" if len(named) > 1 else "is a string"
    return f"{', '.join(named)} {plural}, which {spec.label} does not support"


def what_is_left(summary: ModelSummary) -> str | None:
    """Sentences about a model that is quantized already, and what could still be gained; `None` if it is not."""
    full, half, quantized = weight_shares(summary)
    if summary.quantization is None and quantized < WORTH_NAMING:
        return None
    how = f" ({summary.quantization})" if summary.quantization else ""
    floats = full + half
    where = ", including the embeddings and the output head" if summary.language and summary.language.generative else ""
    left = f"Only the {floats:.0%} of its stored numbers that are still floats could gain{where}."
    return f"The model is quantized already{how}. {left}"


def _nothing_left(spec: TechniqueSpec, summary: ModelSummary) -> str | None:
    """Why a quantization, or the export of a quantized model, would not gain anything; `None` if enough weights are
    still floats."""
    full, half, quantized = weight_shares(summary)
    takes_halves = not spec.knowledge.makes_halves and _starts_from_halves(spec) and summary.format in spec.formats
    enough_left = full + (half if takes_halves else 0.0) >= ENOUGH_LEFT
    # Operators of an ONNX graph are quantized one by one, so those still in float can be quantized later.
    partly = summary.format == Format.ONNX and enough_left and spec.family not in _WHOLLY_FLOAT
    narrow = spec.family in _WHOLLY_FLOAT and quantized >= WORTH_NAMING
    if narrow or (summary.quantization and not partly and spec.family in _FROM_FLOATS):
        return f"It starts from floats. {what_is_left(summary)}"
    if spec.family is not Family.QUANTIZATION or enough_left:
        return None
    if full + half + quantized == 0:
        return "The model does not store weights that could take fewer bits."
    if quantized >= half:
        return (
            f"The model is quantized already: {quantized:.0%} of its weights take 8 bits or fewer. Only the "
            f"{full:.0%} still in float32 could gain."
        )
    return f"{half:.0%} of the weights are in half precision already, but this technique starts from float32."


def _starts_from_halves(spec: TechniqueSpec) -> bool:
    return any(known.framework in _START_FROM_HALVES for name in spec.formats if (known := _format(name)))


def _why_it_fits(spec: TechniqueSpec, summary: ModelSummary) -> str:
    if exporter := exporter_for(spec, summary.format):
        made = format_label(exporter.output_format or "")
        return f"It takes {made}, to which the technique {exporter.name} exports this model."
    if not spec.acts_on:
        return f"It takes any {format_label(summary.format)} model."
    counts = {name: summary.operators[name] for name in spec.acts_on if name in summary.operators}
    named = ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda item: -item[1])[:4])
    if any(is_quantized_operator(name) for name in summary.operators):
        full = weight_shares(summary)[0]
        return f"It works on {named}; {full:.0%} of the weights are still in float32, the rest are quantized already."
    return f"It works on {named}."
