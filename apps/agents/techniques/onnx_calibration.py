"""Calibration alone: what prepares the weights of ONNX models for few bits without training, and stores them so."""

from __future__ import annotations

from apps.agents.contracts.formats import Format
from apps.agents.techniques.knowledge.onnx_calibration import ADAROUND, EQUALIZE, GPTQ, LOW_BITS_KNOWN
from apps.agents.techniques.parameters import CALIBRATION_EXAMPLES, MANY_CALIBRATION_EXAMPLES, NODES_KEPT
from apps.agents.techniques.spec import Expectation, Family, ParameterSpec, Risk, TechniqueSpec

_LAYERS = ("Conv", "MatMul", "Gemm")
_BITS = ParameterSpec(
    name="bits",
    kind="choice",
    default=4,
    choices=(3, 4),
    search=(4,),
    help="Bits of a weight. Files store 3 bits in 4, and such files compress better.",
)
_REQUIRES = ("onnx", "onnxruntime")

ONNX_EQUALIZE = TechniqueSpec(
    name="onnx-equalize",
    family=Family.CALIBRATION,
    label="Cross-layer equalization",
    summary="Scales the channels of neighbouring layers against each other so that all have like ranges. The model "
    "computes the same, and int8 afterwards loses less where ranges were far apart.",
    formats=(Format.ONNX,),
    output_format=Format.ONNX,
    requires=_REQUIRES,
    needs_calibration=True,
    acts_on=_LAYERS,
    parameters=(
        ParameterSpec(
            name="most_clipped",
            kind="number",
            default=0.0,
            minimum=0.0,
            maximum=1.0,
            help="The largest share of its values that a Clip (ReLU6) may cut on calibration examples to become a "
            "Relu, without which its channels cannot be scaled. With 0, only one that cuts nothing.",
        ),
        ParameterSpec(
            name="absorb_biases",
            kind="boolean",
            default=False,
            help="Also move what a channel always exceeds zero by into the biases behind it. The function then stays "
            "the same only for inputs like the calibration examples.",
        ),
        ParameterSpec(
            name="corrected_bits",
            kind="choice",
            default=0,
            choices=(0, 3, 4, 8),
            help="Also correct biases for weights that will be rounded to nearest in this many bits. 0: not.",
        ),
        MANY_CALIBRATION_EXAMPLES,
    ),
    expectation=Expectation(size_ratio=1.0, speedup=1.0, metric_drop_points=0.0, risk=Risk.NONE),
    knowledge=EQUALIZE,
    reference="Nagel et al. 2019, https://arxiv.org/abs/1906.04721",
    implementation="apps.agents.backends.onnx.calibrated.equalizing:Equalization",
)
ONNX_ADAROUND = TechniqueSpec(
    name="onnx-adaround",
    family=Family.CALIBRATION,
    label="AdaRound",
    summary="Learns for each weight whether it is rounded up or down to few bits, so that each layer's outputs change "
    "least on calibration examples, and fits biases again. A quantization afterwards keeps these roundings.",
    formats=(Format.ONNX,),
    output_format=Format.ONNX,
    requires=_REQUIRES,
    needs_calibration=True,
    acts_on=_LAYERS,
    parameters=(
        _BITS,
        ParameterSpec(
            name="steps",
            kind="integer",
            default=1000,
            minimum=1,
            maximum=100_000,
            help="Steps of learning for each layer.",
        ),
        MANY_CALIBRATION_EXAMPLES,
        NODES_KEPT,
    ),
    expectation=Expectation(size_ratio=1.0, speedup=1.0, metric_drop_points=0.5, risk=Risk.MEDIUM),
    knowledge=ADAROUND,
    reference="Nagel et al. 2020, https://arxiv.org/abs/2004.10568",
    implementation="apps.agents.backends.onnx.calibrated.rounding:AdaRound",
)
ONNX_GPTQ = TechniqueSpec(
    name="onnx-gptq",
    family=Family.CALIBRATION,
    label="GPTQ",
    summary="Rounds weights to few bits one after the other and lets those still open make up for each error on "
    "calibration examples, and fits biases again. A quantization afterwards keeps these roundings.",
    formats=(Format.ONNX,),
    output_format=Format.ONNX,
    requires=_REQUIRES,
    needs_calibration=True,
    acts_on=_LAYERS,
    parameters=(
        _BITS,
        ParameterSpec(
            name="block_size",
            kind="choice",
            default=0,
            choices=(0, 16, 32, 64, 128, 256),
            help="Weights of a matrix product that share one scale, as in weight-only blocks of the same size, which "
            "have 4 bits; convolutions are then left as they are. 0: one scale for each output channel.",
        ),
        MANY_CALIBRATION_EXAMPLES,
        NODES_KEPT,
    ),
    expectation=Expectation(size_ratio=1.0, speedup=1.0, metric_drop_points=0.5, risk=Risk.MEDIUM),
    knowledge=GPTQ,
    reference="Frantar et al. 2022, https://arxiv.org/abs/2210.17323",
    implementation="apps.agents.backends.onnx.calibrated.rounding:Gptq",
)
ONNX_LOW_BITS = TechniqueSpec(
    name="onnx-low-bits",
    family=Family.QUANTIZATION,
    label="Weights in 4 bits, channel by channel",
    summary="The weights of convolutions and matrix products in 4 bits with one scale for each output channel; "
    "activations stay in float. Keeps the roundings of GPTQ and AdaRound, else rounds to nearest and corrects biases.",
    formats=(Format.ONNX,),
    output_format=Format.ONNX,
    requires=_REQUIRES,
    needs_calibration=True,
    acts_on=_LAYERS,
    parameters=(
        _BITS,
        ParameterSpec(
            name="correct_biases",
            kind="boolean",
            default=True,
            help="Give each channel of a layer's output its mean back after rounding to nearest.",
        ),
        CALIBRATION_EXAMPLES,
        NODES_KEPT,
    ),
    expectation=Expectation(size_ratio=7.0, speedup=0.55, metric_drop_points=1.0, risk=Risk.MEDIUM),
    knowledge=LOW_BITS_KNOWN,
    reference="Nagel et al. 2019, https://arxiv.org/abs/1906.04721",
    implementation="apps.agents.backends.onnx.calibrated.low_bits:LowBits",
)
ONNX_CALIBRATION_TECHNIQUES = (ONNX_EQUALIZE, ONNX_ADAROUND, ONNX_GPTQ, ONNX_LOW_BITS)
