"""Pruning ONNX models."""

from __future__ import annotations

from apps.agents.contracts.formats import Format
from apps.agents.techniques.knowledge.onnx_pruning import STRUCTURED
from apps.agents.techniques.parameters import CHANNELS, MANY_CALIBRATION_EXAMPLES, RIDGE, SPEED_PARAMETERS
from apps.agents.techniques.spec import Expectation, Family, ParameterSpec, Risk, TechniqueSpec

_PARAMETERS = (
    ParameterSpec(
        name="macs_removed",
        kind="number",
        default=0.5,
        minimum=0.01,
        maximum=0.95,
        search=(0.3, 0.5, 0.6, 0.7),
        help="Share of the multiply-accumulates to remove.",
    ),
    *SPEED_PARAMETERS,
    ParameterSpec(
        name="multiple_of",
        kind="choice",
        default=16,
        choices=(1, 8, 16),
        search=(8, 16),
        help="Channels are cut so that each layer keeps a multiple of this number. ONNX Runtime is fast with 16.",
    ),
    *CHANNELS,
    MANY_CALIBRATION_EXAMPLES,
    RIDGE,
)
ONNX_PRUNING = TechniqueSpec(
    name="onnx-prune",
    family=Family.PRUNING,
    label="Structured pruning",
    summary="Removes whole channels of convolutions and matrix products, and fits the layers after them again to the "
    "original's outputs on calibration examples. No training and no labels.",
    formats=(Format.ONNX,),
    output_format=Format.ONNX,
    requires=("onnx", "onnxruntime"),
    needs_calibration=True,
    acts_on=("Conv", "MatMul", "Gemm"),
    parameters=_PARAMETERS,
    expectation=Expectation(size_ratio=2.0, speedup=1.7, metric_drop_points=0.5, risk=Risk.MEDIUM),
    knowledge=STRUCTURED,
    reference="He et al. 2017, https://arxiv.org/abs/1707.06168",
    implementation="apps.agents.backends.onnx.pruning.agent:StructuredPruning",
)
