"""Knowledge about static int8 for ONNX models, plain and after SmoothQuant: kernels, noise, and the grid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from apps.agents.techniques.knowledge import fragility
from apps.agents.techniques.knowledge.kernels import PRIOR_NOISE, KernelRule, Kind
from apps.agents.techniques.knowledge.onnx import (
    DOCUMENTED,
    STATIC_OPERATORS,
    OnnxQuantization,
    tables_matter,
    weights_in_words,
)
from apps.agents.techniques.knowledge.profile import HEAVY, GraphProfile
from apps.agents.techniques.knowledge.smoothing import alpha_in_words
from apps.agents.techniques.knowledge.technique import NotTried, Parameters
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec

TYPE_GRID = (("uint8", "int8"), ("uint8", "uint8"), ("int8", "int8"))
"""Activation and weight types of static int8. Their speeds differ by machine and graph, up to fourfold."""
WEIGHTS_SHARE = 0.13
"""Of the noise. Weights in 7 bits instead of 8, except those of depthwise convolutions, made 1.1 to 1.8 times the noise
on the samples and on EfficientNet-lite0."""
_NORMS = frozenset({"LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization"})
_WRITTEN_OUT = frozenset({"Pow", "ReduceMean", "Sqrt"})
"""A norm in a graph is either one of the operators above, or all of these."""
_WHY = "8-bit weights and activations, ranges measured on calibration data"
_PRODUCTS = (
    KernelRule(Kind.PRODUCT, (2.7, 1.4, 2.0, 0.9), "uint8", "int8"),
    KernelRule(Kind.PRODUCT, (1.4, 1.2, 2.2, 0.9), "int8", "int8", DOCUMENTED),
)


class StaticInt8(OnnxQuantization):
    """Every operator, or in attention networks only the matrix products."""

    def operators(self, spec: TechniqueSpec, parameters: Parameters, profile: GraphProfile) -> frozenset[str]:
        return frozenset(parameters.get("operators", ())) or STATIC_OPERATORS

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        chosen = parameters.get("operators")
        return [_types_in_words(parameters), f"only {' and '.join(chosen)}" if chosen else "every operator"]

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        grid = _of_products(profile) if profile.attention else _of_every_operator(self.fragile(profile), profile)
        for parameters, reason in grid:
            yield Variant(spec.name, parameters, reason, place=2)


def _of_every_operator(fragile: tuple[str, ...], profile: GraphProfile) -> Iterator[tuple[dict[str, Any], str]]:
    if not HEAVY & {node.kind for node in profile.nodes}:
        return
    which = fragility.in_words(fragile) if fragile else "every operator type the runtime can quantize"
    for types in TYPE_GRID:
        yield _parameters(*types, fragile=fragile), f"{_WHY}; {which}."
    if fragile:
        yield _parameters(*TYPE_GRID[0]), f"{_WHY}, for every operator."
    reason = "Activations in 16 bits lose almost nothing, but no kernel is fast with them."
    yield _parameters("uint16", "int8", fragile=fragile), reason


def _of_products(profile: GraphProfile) -> Iterator[tuple[dict[str, Any], str]]:
    products = tuple(op for op in ("MatMul", "Gemm") if op in profile.operators)
    if not products:
        return
    lossy = sorted(PRIOR_NOISE.keys() & profile.operators, key=lambda op: (-PRIOR_NOISE[op], op))
    why = f"Only the matrix products in 8 bits: {_listed(lossy)} too much in an attention network"
    tables = tables_matter(profile)
    for types in TYPE_GRID if tables else ():
        yield _parameters(*types, (*products, "Gather")), f"{why}; the embedding tables too, for size."
    for types in TYPE_GRID[:1] if tables else TYPE_GRID:
        yield _parameters(*types, products), f"{why}."
    yield _parameters(*TYPE_GRID[0]), "8-bit weights and activations for every operator."


def _listed(operators: list[str]) -> str:
    """`Add and Softmax lose`."""
    if len(operators) < 2:
        return f"{''.join(operators)} loses"
    return f"{', '.join(operators[:-1])} and {operators[-1]} lose"


def _parameters(
    activation: str, weight: str, operators: tuple[str, ...] = (), fragile: tuple[str, ...] = ()
) -> dict[str, Any]:
    parameters: dict[str, Any] = {"activation_type": activation, "weight_type": weight, "per_channel": True}
    if operators:
        parameters["operators"] = list(operators)
    if fragile:
        parameters["keep_float_operators"] = list(fragile)
    return parameters


def _types_in_words(parameters: Parameters) -> str:
    return f"activations {parameters['activation_type']}, {weights_in_words(parameters)}"


class SmoothQuant(OnnxQuantization):
    """The matrix products of attention networks."""

    def operators(self, spec: TechniqueSpec, parameters: Parameters, profile: GraphProfile) -> frozenset[str]:
        return frozenset({"MatMul", "Gemm"})

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        return [_types_in_words(parameters), alpha_in_words(parameters)]

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        if not profile.attention or not (_NORMS & profile.operators or profile.operators >= _WRITTEN_OUT):
            return
        reason = (
            "Matrix products in 8 bits after outliers of the activations were moved from the norms into the weights."
        )
        for activation in ("uint8", "int8"):
            parameters = {"activation_type": activation, "weight_type": "int8", "per_channel": True}
            yield Variant(spec.name, parameters, reason, place=5)


STATIC = StaticInt8(
    kernels=(
        KernelRule(Kind.CONVOLUTION, (4.75, 1.9, 3.0, 0.9), "uint8", "int8"),
        KernelRule(Kind.CONVOLUTION, (1.15, 1.0, 3.5, 0.9), "int8", "int8"),
        KernelRule(Kind.CONVOLUTION, (1.85, 1.7, 2.5, 0.9), "uint8", "uint8"),
        KernelRule(Kind.CONVOLUTION, (0.58, 0.58, 0.58, 0.5), "uint16"),
        KernelRule(Kind.CONVOLUTION, (0.58, 0.58, 0.58, 0.5), "int16"),
        KernelRule(Kind.DEPTHWISE, (0.9, 0.8, 1.2, 0.8), "uint8", "int8"),
        KernelRule(Kind.DEPTHWISE, (0.7, 0.7, 1.2, 0.8), "int8", "int8"),
        KernelRule(Kind.DEPTHWISE, (0.3, 0.3, 1.1, 0.8), "uint8", "uint8"),
        KernelRule(Kind.DEPTHWISE, (0.07, 0.07, 0.07, 0.07), "uint16"),
        KernelRule(Kind.DEPTHWISE, (0.07, 0.07, 0.07, 0.07), "int16"),
        *_PRODUCTS,
        KernelRule(Kind.PRODUCT, (2.0, 1.3, 1.8, 0.9), "uint8", "uint8", DOCUMENTED),
        KernelRule(Kind.PRODUCT, (0.6, 0.6, 0.6, 0.5), "uint16"),
        KernelRule(Kind.PRODUCT, (0.6, 0.6, 0.6, 0.5), "int16"),
        KernelRule(Kind.OTHER, (1.0, 1.0, 1.0, 1.0)),
    ),
    wide_activation_noise=0.1,
    per_tensor_noise=1.6,
    weights_share=WEIGHTS_SHARE,
    multiplies_in_8_bits=True,
    not_tried=(
        NotTried(
            title="entropy and percentile calibration",
            reason="They measured the same accuracy as min-max, with up to four times the memory for calibration.",
        ),
    ),
)
SMOOTHQUANT = SmoothQuant(
    kernels=(*_PRODUCTS, KernelRule(Kind.PRODUCT, (2.0, 1.3, 1.8, 0.9), None, "uint8", DOCUMENTED)),
    noise=0.9,
    wide_activation_noise=0.1,
    per_tensor_noise=1.6,
    weights_share=WEIGHTS_SHARE,
    multiplies_in_8_bits=True,
    measured_on=frozenset({"MatMul", "FusedMatMul", "Gemm", "FusedGemm"}),
)
