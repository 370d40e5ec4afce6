"""Decomposing the layers of Keras models."""

from __future__ import annotations

from apps.agents.contracts.formats import KERAS_FORMATS, Format
from apps.agents.techniques.decomposition.parameters import DECOMPOSITION
from apps.agents.techniques.knowledge.decomposition import DECOMPOSED_KERAS
from apps.agents.techniques.parameters import MANY_CALIBRATION_EXAMPLES, RIDGE
from apps.agents.techniques.spec import Expectation, Family, Risk, TechniqueSpec

KERAS_DECOMPOSITION = TechniqueSpec(
    name="keras-decompose",
    family=Family.COMPRESSION,
    label="Low-rank decomposition",
    summary="Replaces convolutions and dense layers by two or three smaller ones that compute nearly the same on "
    "calibration examples. No training and no labels.",
    formats=KERAS_FORMATS,
    output_format=Format.KERAS,
    requires=("tensorflow", "keras"),
    needs_calibration=True,
    acts_on=("Conv1D", "Conv2D", "Dense"),
    parameters=(*DECOMPOSITION, MANY_CALIBRATION_EXAMPLES, RIDGE),
    expectation=Expectation(size_ratio=1.6, speedup=1.3, metric_drop_points=0.5, risk=Risk.MEDIUM),
    knowledge=DECOMPOSED_KERAS,
    reference="https://arxiv.org/abs/2511.04494",
    implementation="apps.agents.backends.tensorflow.decomposition.agent:Decomposition",
)
