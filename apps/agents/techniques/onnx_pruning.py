"""Pruning ONNX models."""

from __future__ import annotations

from apps.agents.contracts.formats import Format
from apps.agents.techniques.knowledge.onnx_pruning import STRUCTURED
from apps.agents.techniques.parameters import CALIBRATION_EXAMPLES, SPEED_PARAMETERS
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
    ParameterSpec(
        name="importance",
        kind="choice",
        default="reconstruction",
        choices=("reconstruction", "variance", "l2"),
        help="Which channels stay: those that predict the others best, those that vary most, or those with the largest "
        "weights.",
    ),
    ParameterSpec(
        name="allocation",
        kind="choice",
        default="sensitivity",
        choices=("sensitivity", "uniform"),
        help="How the cut is distributed: by what the output loses without a layer's channels, or the same share for "
        "all layers.",
    ),
    ParameterSpec(
        name="compensate",
        kind="boolean",
        default=True,
        help="Fit the layers after a cut again by least squares. Off: only cut.",
    ),
    CALIBRATION_EXAMPLES.model_copy(update={"default": 512}),
    ParameterSpec(
        name="ridge",
        kind="number",
        default=0.001,
        minimum=0.0,
        maximum=1.0,
        help="How strongly fitted weights are held at their old values, as a share of the mean variance of a layer's "
        "inputs.",
    ),
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
