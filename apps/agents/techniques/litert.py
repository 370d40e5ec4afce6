"""The techniques for TensorFlow Lite models."""

from __future__ import annotations

from apps.agents.contracts.criteria import Device
from apps.agents.contracts.formats import Format
from apps.agents.techniques.knowledge.litert import DYNAMIC, FLOAT16, STATIC, WEIGHT_ONLY, LiteRtQuantization
from apps.agents.techniques.parameters import BITS, CALIBRATION_EXAMPLES, NODES_KEPT, OPERATORS_KEPT, PER_CHANNEL
from apps.agents.techniques.spec import Expectation, Family, ParameterSpec, Risk, TechniqueSpec

_PAGE = "https://github.com/google-ai-edge/LiteRT/tree/main/litert_quantizer"
_WEIGHTED = (
    *("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL"),
    *("EMBEDDING_LOOKUP", "GATHER"),
)
_EIGHT_OR_FOUR = BITS.model_copy(update={"default": 8})


def _quantization(
    *,
    name: str,
    label: str,
    summary: str,
    parameters: tuple[ParameterSpec, ...],
    expectation: Expectation,
    knowledge: LiteRtQuantization,
    agent: str,
    needs_calibration: bool = False,
    reference: str = _PAGE,
) -> TechniqueSpec:
    return TechniqueSpec(
        name=name,
        family=Family.QUANTIZATION,
        label=label,
        summary=summary,
        formats=(Format.TFLITE,),
        output_format=Format.TFLITE,
        requires=("ai-edge-litert", "litert-quantizer"),
        devices=(Device.CPU,),
        needs_calibration=needs_calibration,
        acts_on=_WEIGHTED,
        parameters=parameters,
        expectation=expectation,
        knowledge=knowledge,
        reference=reference,
        implementation=f"apps.agents.backends.litert.quantization:{agent}",
    )


LITERT_TECHNIQUES: tuple[TechniqueSpec, ...] = (
    _quantization(
        name="litert-float16",
        label="LiteRT float16",
        summary="Weights in float16, computed in float32 if the hardware does not support float16: half the size with "
        "next to no loss.",
        parameters=(OPERATORS_KEPT, NODES_KEPT),
        expectation=Expectation(size_ratio=1.95, speedup=1.0, metric_drop_points=0.0, risk=Risk.NONE),
        knowledge=FLOAT16,
        agent="Float16",
    ),
    _quantization(
        name="litert-dynamic",
        label="LiteRT dynamic range",
        summary="Weights in 8 or 4 bits, activations quantized while running: no calibration data, and fast kernels "
        "for 8 bits.",
        parameters=(_EIGHT_OR_FOUR, PER_CHANNEL, OPERATORS_KEPT, NODES_KEPT),
        expectation=Expectation(size_ratio=3.8, speedup=3.5, metric_drop_points=0.1, risk=Risk.LOW),
        knowledge=DYNAMIC,
        agent="DynamicRange",
    ),
    _quantization(
        name="litert-weight-only",
        label="LiteRT weight-only",
        summary="Weights in 8 or 4 bits that become floats again before each operator: smaller, but not faster.",
        parameters=(_EIGHT_OR_FOUR, PER_CHANNEL, OPERATORS_KEPT, NODES_KEPT),
        expectation=Expectation(size_ratio=3.8, speedup=1.0, metric_drop_points=0.05, risk=Risk.LOW),
        knowledge=WEIGHT_ONLY,
        agent="WeightOnly",
    ),
    _quantization(
        name="litert-static",
        label="LiteRT static",
        summary="Weights in 8 bits and activations in 8 or 16, with ranges measured on calibration data. Sensitive "
        "operators can stay in float.",
        needs_calibration=True,
        parameters=(
            ParameterSpec(
                name="activation_type",
                kind="choice",
                default="int8",
                choices=("int8", "int16"),
                search=("int8", "int16"),
                help="Number type of the activations. LiteRT has fast kernels for int8 only.",
            ),
            CALIBRATION_EXAMPLES,
            PER_CHANNEL,
            ParameterSpec(
                name="io_type",
                kind="choice",
                default="float32",
                choices=("float32", "integer"),
                help="Number type of the model's own inputs and outputs: float32, or the activations' integers, for "
                "devices without floats.",
            ),
            OPERATORS_KEPT,
            NODES_KEPT,
        ),
        expectation=Expectation(size_ratio=3.75, speedup=3.5, metric_drop_points=1.0, risk=Risk.MEDIUM),
        knowledge=STATIC,
        reference="Jacob et al. 2018, https://arxiv.org/abs/1712.05877",
        agent="StaticRange",
    ),
)
