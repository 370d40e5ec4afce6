"""Decomposing the layers of ONNX models."""

from __future__ import annotations

from apps.agents.contracts.formats import Format
from apps.agents.techniques.decomposition.parameters import DECOMPOSITION
from apps.agents.techniques.knowledge.decomposition import DECOMPOSED_ONNX
from apps.agents.techniques.parameters import MANY_CALIBRATION_EXAMPLES, RIDGE
from apps.agents.techniques.spec import Expectation, Family, ParameterSpec, Risk, TechniqueSpec

ONNX_DECOMPOSITION = TechniqueSpec(
    name="onnx-decompose",
    family=Family.COMPRESSION,
    label="Low-rank decomposition",
    summary="Replaces convolutions and matrix products by two or three smaller ones that compute nearly the same on "
    "calibration examples. No training and no labels.",
    formats=(Format.ONNX,),
    output_format=Format.ONNX,
    requires=("onnx", "onnxruntime"),
    needs_calibration=True,
    acts_on=("Conv", "MatMul", "Gemm"),
    parameters=(
        *DECOMPOSITION,
        ParameterSpec(
            name="refit",
            kind="boolean",
            default=True,
            help="Fit the last factor of each layer to the original's outputs, with its inputs as the decomposed model "
            "gives them.",
        ),
        MANY_CALIBRATION_EXAMPLES,
        RIDGE,
    ),
    expectation=Expectation(size_ratio=1.6, speedup=1.5, metric_drop_points=0.3, risk=Risk.MEDIUM),
    knowledge=DECOMPOSED_ONNX,
    reference="https://arxiv.org/abs/2511.04494",
    implementation="apps.agents.backends.onnx.decomposition.agent:Decomposition",
)
