"""The grid: which techniques with which number types are worth thinking about for a graph.

Which are planned and in which order is decided by their predictions, in `apps.agents.planning.agent`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apps.agents.contracts.formats import TORCH_FORMATS, Format
from apps.agents.techniques.artifact_format import runtime_of
from apps.agents.techniques.catalogue import TechniqueSpec
from apps.agents.techniques.compatibility import format_label
from apps.agents.techniques.knowledge import kernels
from apps.agents.techniques.knowledge.kernels import KINDS, Kind
from apps.agents.techniques.knowledge.litert_rules import LITERT_QUANTIZATIONS
from apps.agents.techniques.knowledge.litert_variants import litert_title_parts, litert_variants
from apps.agents.techniques.knowledge.onnx_rules import BLOCKS, DYNAMIC, FLOAT16, GRAPH, ONNX_SMOOTH, STATIC
from apps.agents.techniques.knowledge.profile import HEAVY, GraphProfile
from apps.agents.techniques.knowledge.torch_rules import TORCH_QUANTIZATIONS
from apps.agents.techniques.knowledge.torch_variants import alpha_said, torch_title_parts, torch_variants
from apps.agents.techniques.knowledge.variant import Variant

TYPE_GRID = (("uint8", "int8"), ("uint8", "uint8"), ("int8", "int8"))
"""Activation and weight types of static int8; which is fast differs by machine and graph, up to fourfold."""
_TABLE_SHARE = 0.05
"""A table below this share of the file is not worth quantizing for its size."""
KEPT_NODES = "keep_float_nodes"
_NAMES_LENGTH = 60
NORMS = frozenset({"LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization"})
_WRITTEN_OUT = frozenset({"Pow", "ReduceMean", "Sqrt"})
"""What a norm is in a graph: an operator of its own, or all of these."""
_CONVOLUTIONS = frozenset({Kind.CONVOLUTION, Kind.DEPTHWISE})


def title_of(label: str, technique: str, parameters: Mapping[str, Any]) -> str:
    """The candidate's name on every page: what is done in which number types, and what stays in float."""
    parts: list[str] = []
    if technique == STATIC:
        parts.append(f"activations {parameters['activation_type']}, weights {parameters['weight_type']}")
        if parameters.get("operators"):
            parts.append(f"only {' and '.join(parameters['operators'])}")
        else:
            parts.append("every operator")
    elif technique in LITERT_QUANTIZATIONS:
        parts += litert_title_parts(technique, parameters)
    elif technique in TORCH_QUANTIZATIONS:
        parts += torch_title_parts(technique, parameters)
    elif technique == ONNX_SMOOTH:
        parts.append(f"activations {parameters['activation_type']}, weights {parameters['weight_type']}")
        parts.append(alpha_said(parameters))
    elif technique == DYNAMIC:
        parts.append(f"weights {parameters['weight_type']}")
    elif technique == BLOCKS:
        parts.append(f"int{parameters['bits']}, blocks of {parameters.get('block_size', 32)}")
        if parameters.get("embeddings"):
            parts.append("embeddings too")
    if "per_channel" in parameters:
        parts.append("per channel" if parameters["per_channel"] else "per tensor")
    if kept := parameters.get("keep_float_operators"):
        parts.append(f"{', '.join(kept)} in float")
    if nodes := parameters.get(KEPT_NODES):
        names = ", ".join(nodes)
        few = names if len(names) <= _NAMES_LENGTH else f"{len(nodes)} most sensitive nodes"
        parts.append(f"{few} in float")
    return f"{label}: {'; '.join(parts)}" if parts else label


def variants(profile: GraphProfile) -> Iterator[Variant]:
    """Every variant of the built-in techniques that this form of the model suggests."""
    if profile.format in TORCH_FORMATS:
        yield from torch_variants(profile)
    elif profile.format == Format.ONNX:
        yield from _onnx(profile)
    elif profile.format == Format.TFLITE:
        yield from litert_variants(profile)


def export_variant(spec: TechniqueSpec) -> Variant:
    """The export of `spec` as a candidate of its own."""
    target = spec.output_format or ""
    reason = f"The same float model in {runtime_of(target)}, which every {format_label(target)} technique starts from."
    return Variant(spec.name, {}, reason)


def _onnx(profile: GraphProfile) -> Iterator[Variant]:
    yield Variant(
        GRAPH, {}, "The float model itself with its graph optimized: cheap, and safe since it computes the same."
    )
    yield from _static(profile)
    yield from _dynamic(profile)
    yield from _blocks(profile)
    yield from _smooth(profile)
    if HEAVY & {node.kind for node in profile.nodes}:
        yield Variant(
            FLOAT16, {}, "Half the bytes with almost no loss; faster only where the hardware computes in halves."
        )


def fragile_operators(profile: GraphProfile) -> tuple[str, ...]:
    """Operator types that cost more than they give in 8 bits: low SQNR, and no convolution, product or table.

    Nor an activation that integer kernels take in: without it every convolution would go back to float.
    """
    threshold = 10 ** (-kernels.FRAGILE_SQNR_DB / 10)
    noises = profile.noise_by_operator
    return tuple(
        sorted(
            op_type
            for op_type in noises.keys() & kernels.STATIC_OPERATORS
            if noises[op_type] > threshold and op_type not in KINDS and op_type not in kernels.FUSED_ACTIVATIONS
        )
    )


def _static(profile: GraphProfile) -> Iterator[Variant]:
    if profile.attention:
        yield from _static_of_products(profile)
        return
    fragile = fragile_operators(profile)
    if not HEAVY & {node.kind for node in profile.nodes}:
        return
    why = "8-bit weights and activations, ranges measured on calibration data"
    for activation, weight in TYPE_GRID:
        yield Variant(STATIC, _static_parameters(activation, weight, fragile=fragile), f"{why}; {_fragile(fragile)}.")
    if fragile:
        yield Variant(STATIC, _static_parameters(*TYPE_GRID[0]), f"{why}, of every operator.")
    yield Variant(
        STATIC,
        _static_parameters("uint16", "int8", fragile=fragile),
        "Activations in 16 bits lose almost nothing, but no kernel is fast with them.",
    )


def _static_of_products(profile: GraphProfile) -> Iterator[Variant]:
    products = tuple(op for op in ("MatMul", "Gemm") if op in profile.operators)
    tables = profile.weight_bytes_by_operator.get("Gather", 0) > _TABLE_SHARE * profile.size_bytes
    if not products:
        return
    lossy = sorted(kernels.PRIOR_NOISE.keys() & profile.operators, key=lambda op: (-kernels.PRIOR_NOISE[op], op))
    why = f"Only the matrix products in 8 bits: {_listed(lossy)} too much in an attention network"
    for activation, weight in TYPE_GRID:
        if tables:
            chosen = (*products, "Gather")
            yield Variant(
                STATIC, _static_parameters(activation, weight, chosen), f"{why}; the embedding tables too, for size."
            )
    yield Variant(STATIC, _static_parameters(*TYPE_GRID[0], products), f"{why}.")
    if not tables:
        for activation, weight in TYPE_GRID[1:]:
            yield Variant(STATIC, _static_parameters(activation, weight, products), f"{why}.")
    yield Variant(STATIC, _static_parameters(*TYPE_GRID[0]), "8-bit weights and activations of every operator.")


def _listed(operators: list[str]) -> str:
    """`Add and Softmax lose`."""
    if len(operators) < 2:
        return f"{''.join(operators)} loses"
    return f"{', '.join(operators[:-1])} and {operators[-1]} lose"


def _static_parameters(
    activation: str, weight: str, operators: tuple[str, ...] = (), fragile: tuple[str, ...] = ()
) -> dict[str, Any]:
    parameters: dict[str, Any] = {"activation_type": activation, "weight_type": weight, "per_channel": True}
    if operators:
        parameters["operators"] = list(operators)
    if fragile:
        parameters["keep_float_operators"] = list(fragile)
    return parameters


def _fragile(fragile: tuple[str, ...]) -> str:
    if not fragile:
        return "every operator type the runtime can quantize"
    return f"{', '.join(fragile)} stay in float, below {kernels.FRAGILE_SQNR_DB:g} dB of signal to quantization noise"


def _dynamic(profile: GraphProfile) -> Iterator[Variant]:
    kinds = {node.kind for node in profile.nodes}
    if not kinds & HEAVY:
        return
    why = "8-bit weights, activations quantized while running, so no calibration"
    for weight in ("int8", "uint8"):
        yield Variant(DYNAMIC, {"weight_type": weight, "per_channel": True}, f"{why}.")
    convolutions = sorted({node.op_type for node in profile.nodes if node.kind in _CONVOLUTIONS})
    if convolutions and Kind.PRODUCT in kinds:
        parameters = {"weight_type": "int8", "per_channel": True, "keep_float_operators": convolutions}
        yield Variant(DYNAMIC, parameters, f"{why}; convolutions stay in float, where dynamic kernels are slow.")
    elif Kind.PRODUCT in kinds:
        yield Variant(DYNAMIC, {"weight_type": "int8", "per_channel": False}, f"{why}; one scale a tensor.")


def _smooth(profile: GraphProfile) -> Iterator[Variant]:
    if not profile.attention or not (NORMS & profile.operators or profile.operators >= _WRITTEN_OUT):
        return
    reason = "Matrix products in 8 bits after outliers of the activations were moved from the norms into the weights."
    for activation in ("uint8", "int8"):
        yield Variant(ONNX_SMOOTH, {"activation_type": activation, "weight_type": "int8", "per_channel": True}, reason)


def _blocks(profile: GraphProfile) -> Iterator[Variant]:
    if not profile.weight_bytes_by_operator.get("MatMul"):
        return
    tables = profile.weight_bytes_by_operator.get("Gather", 0) > _TABLE_SHARE * profile.size_bytes
    for bits in (8, 4):
        yield Variant(
            BLOCKS,
            {"bits": bits, "block_size": 32},
            "Only weights of matrix products in blocks; activations stay float.",
        )
    if tables:
        parameters = {"bits": 4, "block_size": 32, "embeddings": True}
        yield Variant(
            BLOCKS,
            parameters,
            "Weights of matrix products and embedding tables in blocks of 4 bits: the smallest file.",
        )
