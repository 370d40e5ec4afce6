"""The catalogue of techniques: light specs that forms, serializers, docs and the planner read.

A spec imports nothing heavy. Its `implementation` is a dotted path, `module:Class`, that is imported on first use and
only in the child process (`apps.agents.process`). A package outside this repository adds a technique by an entry point
in the group `lathe.techniques` that resolves to a `TechniqueSpec` (docs/add-a-technique.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache
from importlib import metadata
from typing import Any, Literal

from pydantic import Field

from apps.agents.criteria import Device
from apps.agents.values import Value


class Family(StrEnum):
    GRAPH = "graph optimization"
    QUANTIZATION = "quantization"
    PRUNING = "pruning"
    DISTILLATION = "distillation"
    ARCHITECTURE = "architecture search"
    COMPRESSION = "compression"


class Risk(StrEnum):
    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class ParameterSpec(Value):
    """One parameter of a technique: what it may be, what it is by default, which values a search tries."""

    name: str
    kind: Literal["choice", "integer", "number", "boolean", "names"]
    """`names` is a tuple of node or operator names."""
    default: Any
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    search: tuple[Any, ...] = ()
    help: str


class Expectation(Value):
    """What the literature and our own measurements let one expect; ratios are original over candidate."""

    size_ratio: float
    speedup: float
    metric_drop_points: float
    risk: Risk


class TechniqueSpec(Value):
    name: str
    family: Family
    label: str
    summary: str
    formats: tuple[str, ...]
    """Formats it takes; it hands over `output_format`."""
    output_format: str
    requires: tuple[str, ...]
    """Distributions the worker must have installed."""
    devices: tuple[Device, ...] = (Device.CPU, Device.CUDA)
    needs_calibration: bool = False
    acts_on: tuple[str, ...] = ()
    """Operator types that it changes to gain anything; a model with none of them gains nothing. Empty means any."""
    parameters: tuple[ParameterSpec, ...] = ()
    expectation: Expectation
    reference: str
    """The paper or the page that the method follows."""
    implementation: str = Field(pattern=r"^[\w.]+:\w+$")

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """`given` completed with the defaults. Raises `ValueError` with the parameter, its value and what is right."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name, value in given.items():
            if name not in known:
                raise ValueError(f"{self.name} has no parameter {name!r}; it has {', '.join(known) or 'none'}")
            _check(self.name, known[name], value)
        return {name: given.get(name, parameter.default) for name, parameter in known.items()}


def _check(technique: str, parameter: ParameterSpec, value: object) -> None:
    where = f"{technique}: parameter {parameter.name!r} is {value!r}"
    match parameter.kind:
        case "choice" if value not in parameter.choices:
            raise ValueError(f"{where}, but must be one of {', '.join(map(repr, parameter.choices))}")
        case "boolean" if not isinstance(value, bool):
            raise ValueError(f"{where}, but must be true or false")
        case "names" if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
            raise ValueError(f"{where}, but must be a list of names")
        case "integer" | "number":
            numeric = isinstance(value, int) or (parameter.kind == "number" and isinstance(value, float))
            if not numeric or isinstance(value, bool):
                raise ValueError(
                    f"{where}, but must be a {'whole number' if parameter.kind == 'integer' else 'number'}"
                )
            low, high = parameter.minimum, parameter.maximum
            if (low is not None and value < low) or (high is not None and value > high):  # type: ignore[operator]
                raise ValueError(f"{where}, but must lie between {low} and {high}")
        case _:
            pass


_NODES_KEPT = ParameterSpec(
    name="keep_float_nodes",
    kind="names",
    default=(),
    help="Names of nodes that stay in float, the most sensitive first.",
)
_OPERATORS_KEPT = ParameterSpec(
    name="keep_float_operators",
    kind="names",
    default=(),
    help="Operator types that stay in float altogether, such as Softmax.",
)
_PER_CHANNEL = ParameterSpec(
    name="per_channel",
    kind="boolean",
    default=True,
    search=(True, False),
    help="One scale for each output channel of a weight instead of one for the whole tensor.",
)

BUILTIN: tuple[TechniqueSpec, ...] = (
    TechniqueSpec(
        name="onnx-graph",
        family=Family.GRAPH,
        label="Graph optimization",
        summary="Infers shapes, folds constants and fuses operators (batch norm into convolution and others) without "
        "changing what the model computes; every quantization starts from its result.",
        formats=("onnx",),
        output_format="onnx",
        requires=("onnx", "onnxruntime"),
        parameters=(
            ParameterSpec(
                name="transformer_fusions",
                kind="boolean",
                default=False,
                help="Fuse attention, GELU and normalization blocks into operators of ONNX Runtime alone. It does so "
                "itself when it loads a float model; int8 finds fewer matrix products to quantize afterwards.",
            ),
        ),
        expectation=Expectation(size_ratio=1.0, speedup=1.0, metric_drop_points=0.0, risk=Risk.NONE),
        reference="https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html",
        implementation="apps.agents.backends.onnx.graph:GraphOptimization",
    ),
    TechniqueSpec(
        name="onnx-static-int8",
        family=Family.QUANTIZATION,
        label="Static int8 (QDQ)",
        summary="Weights and activations in 8 bits with ranges measured on calibration data. Which number types are "
        "fast depends on the machine and the graph; they are chosen by measuring.",
        formats=("onnx",),
        output_format="onnx",
        requires=("onnx", "onnxruntime"),
        needs_calibration=True,
        acts_on=("Conv", "ConvTranspose", "MatMul", "Gemm", "Gather"),
        parameters=(
            ParameterSpec(
                name="activation_type",
                kind="choice",
                default="uint8",
                choices=("uint8", "int8", "uint16", "int16"),
                search=("uint8", "int8"),
                help="Number type of the activations.",
            ),
            ParameterSpec(
                name="weight_type",
                kind="choice",
                default="int8",
                choices=("int8", "uint8"),
                search=("int8", "uint8"),
                help="Number type of the weights.",
            ),
            ParameterSpec(
                name="calibration",
                kind="choice",
                default="minmax",
                choices=("minmax", "entropy", "percentile"),
                search=("minmax", "percentile", "entropy"),
                help="How the range of an activation is chosen from what calibration saw.",
            ),
            ParameterSpec(
                name="calibration_examples",
                kind="integer",
                default=128,
                minimum=1,
                maximum=4096,
                help="How many examples calibration sees.",
            ),
            _PER_CHANNEL,
            ParameterSpec(
                name="symmetric_activations",
                kind="boolean",
                default=False,
                help="Centre the range of the activations on zero.",
            ),
            ParameterSpec(
                name="operators",
                kind="names",
                default=(),
                help="Operator types to quantize; empty means every type that the runtime can quantize.",
            ),
            _OPERATORS_KEPT,
            _NODES_KEPT,
        ),
        expectation=Expectation(size_ratio=3.9, speedup=3.0, metric_drop_points=0.5, risk=Risk.MEDIUM),
        reference="Jacob et al. 2018, https://arxiv.org/abs/1712.05877",
        implementation="apps.agents.backends.onnx.quantization:StaticQuantization",
    ),
    TechniqueSpec(
        name="onnx-dynamic-int8",
        family=Family.QUANTIZATION,
        label="Dynamic int8",
        summary="Weights in 8 bits, activations quantized while running: no calibration data. Good for matrix "
        "products, often slower than float for convolutions.",
        formats=("onnx",),
        output_format="onnx",
        requires=("onnx", "onnxruntime"),
        acts_on=("Conv", "MatMul", "Gemm", "LSTM", "Attention", "EmbedLayerNormalization", "Gather"),
        parameters=(
            ParameterSpec(
                name="weight_type",
                kind="choice",
                default="int8",
                choices=("int8", "uint8"),
                search=("int8", "uint8"),
                help="Number type of the weights.",
            ),
            _PER_CHANNEL,
            _OPERATORS_KEPT,
            _NODES_KEPT,
        ),
        expectation=Expectation(size_ratio=3.9, speedup=1.5, metric_drop_points=0.5, risk=Risk.LOW),
        reference="https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#dynamic-quantization",
        implementation="apps.agents.backends.onnx.quantization:DynamicQuantization",
    ),
    TechniqueSpec(
        name="onnx-weight-only",
        family=Family.QUANTIZATION,
        label="Weight-only int4/int8 blocks",
        summary="The weights of matrix products in blocks of 4 or 8 bits (MatMulNBits); activations stay in float.",
        formats=("onnx",),
        output_format="onnx",
        requires=("onnx", "onnxruntime"),
        acts_on=("MatMul", "Gemm"),
        parameters=(
            ParameterSpec(
                name="bits", kind="choice", default=4, choices=(4, 8), search=(4, 8), help="Bits of a weight."
            ),
            ParameterSpec(
                name="block_size",
                kind="choice",
                default=32,
                choices=(16, 32, 64, 128, 256),
                search=(32, 128),
                help="Weights that share one scale.",
            ),
            ParameterSpec(
                name="symmetric", kind="boolean", default=True, help="No zero point: smaller, a little less exact."
            ),
            ParameterSpec(
                name="accuracy_level",
                kind="choice",
                default=4,
                choices=(0, 1, 2, 3, 4),
                help="Number type of the computation: 0 unset, 1 float32, 2 float16, 3 bfloat16, 4 int8.",
            ),
            ParameterSpec(
                name="embeddings",
                kind="boolean",
                default=False,
                search=(False, True),
                help="Quantize the tables of Gather (embeddings) too; with 4 bits only.",
            ),
            _NODES_KEPT,
        ),
        expectation=Expectation(size_ratio=2.0, speedup=1.1, metric_drop_points=0.5, risk=Risk.LOW),
        reference="https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#quantize-to-int4uint4",
        implementation="apps.agents.backends.onnx.weight_only:WeightOnlyQuantization",
    ),
    TechniqueSpec(
        name="onnx-float16",
        family=Family.QUANTIZATION,
        label="Float16",
        summary="Weights and computation in half precision: half the size, faster where the hardware computes in "
        "halves, seldom on a CPU.",
        formats=("onnx",),
        output_format="onnx",
        requires=("onnx", "onnxruntime"),
        parameters=(_OPERATORS_KEPT, _NODES_KEPT),
        expectation=Expectation(size_ratio=2.0, speedup=1.0, metric_drop_points=0.05, risk=Risk.LOW),
        reference="Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740",
        implementation="apps.agents.backends.onnx.float16:Float16Conversion",
    ),
)


@cache
def catalogue() -> Mapping[str, TechniqueSpec]:
    """Every known technique by name: the built-in ones and those that installed packages add."""
    found = {spec.name: spec for spec in BUILTIN}
    for entry in metadata.entry_points(group="lathe.techniques"):
        spec = entry.load()
        if not isinstance(spec, TechniqueSpec):
            raise TypeError(
                f"entry point {entry.value!r} in lathe.techniques is {type(spec).__name__}, not TechniqueSpec"
            )
        if spec.name in found:
            raise ValueError(f"entry point {entry.value!r} adds technique {spec.name!r}, which exists already")
        found[spec.name] = spec
    return found


def missing_libraries(spec: TechniqueSpec, installed: Iterable[str]) -> tuple[str, ...]:
    """The distributions that `spec` needs and `installed` lacks."""
    have = {name.lower().replace("_", "-") for name in installed}
    return tuple(name for name in spec.requires if name.lower().replace("_", "-") not in have)
