"""Pruning Keras models."""

from __future__ import annotations

from apps.agents.contracts.formats import KERAS_FORMATS, Format
from apps.agents.techniques.knowledge.keras_pruning import STRUCTURED
from apps.agents.techniques.parameters import CHANNELS, MANY_CALIBRATION_EXAMPLES, RIDGE
from apps.agents.techniques.spec import Expectation, Family, ParameterSpec, Risk, TechniqueSpec

_PARAMETERS = (
    ParameterSpec(
        name="macs_removed",
        kind="number",
        default=0.5,
        minimum=0.01,
        maximum=0.95,
        search=(0.3, 0.5),
        help="Share of the multiply-accumulates to remove.",
    ),
    ParameterSpec(
        name="weights_removed",
        kind="number",
        default=0.0,
        minimum=0.0,
        maximum=0.95,
        help="Share of the numbers in kernels to remove as well. Most of them may be in layers that compute little.",
    ),
    ParameterSpec(
        name="multiple_of",
        kind="choice",
        default=8,
        choices=(1, 8, 16),
        help="Filters and units are cut so that each layer keeps a multiple of this number.",
    ),
    *CHANNELS,
    MANY_CALIBRATION_EXAMPLES,
    RIDGE,
)
KERAS_PRUNING = TechniqueSpec(
    name="keras-prune",
    family=Family.PRUNING,
    label="Structured pruning",
    summary="Removes whole filters and units with everything that depends on them, and fits the layers after them "
    "again to the original's outputs on calibration examples. No training and no labels.",
    formats=KERAS_FORMATS,
    output_format=Format.KERAS,
    requires=("tensorflow", "keras"),
    needs_calibration=True,
    acts_on=("Conv1D", "Conv2D", "SeparableConv1D", "SeparableConv2D", "Dense"),
    parameters=_PARAMETERS,
    expectation=Expectation(size_ratio=2.0, speedup=1.5, metric_drop_points=2.0, risk=Risk.MEDIUM),
    knowledge=STRUCTURED,
    reference="He et al. 2017, https://arxiv.org/abs/1707.06168",
    implementation="apps.agents.backends.tensorflow.pruning.agent:StructuredPruning",
)
