"""The techniques that train Keras models further."""

from __future__ import annotations

from apps.agents.contracts.formats import KERAS_FORMATS, Format
from apps.agents.techniques.knowledge.torch_training import RECOVERY
from apps.agents.techniques.spec import Expectation, Family, Risk, TechniqueSpec
from apps.agents.techniques.training.parameters import RECOVERY_PARAMETERS

_RATE = 0.0003
"""A pruned model whose layers were fitted again starts well. Larger steps would first lose what fitting gained."""
_PARAMETERS = tuple(
    one.model_copy(update={"default": _RATE}) if one.name == "learning_rate" else one for one in RECOVERY_PARAMETERS
)
KERAS_RECOVERY = TechniqueSpec(
    name="keras-recover",
    family=Family.TRAINING,
    label="Recovery training",
    summary="Trains the model to recover what a change has cost, with labels and the original's outputs, on examples "
    "of neither the validation nor the test part.",
    formats=KERAS_FORMATS,
    output_format=Format.KERAS,
    requires=("tensorflow", "keras"),
    inputs=("teacher",),
    needs_training=True,
    takes_strings=False,
    parameters=_PARAMETERS,
    expectation=Expectation(size_ratio=1.0, speedup=1.0, metric_drop_points=0.0, risk=Risk.LOW),
    knowledge=RECOVERY,
    reference="Hinton et al. 2015, https://arxiv.org/abs/1503.02531; Loshchilov and Hutter 2017, "
    "https://arxiv.org/abs/1608.03983",
    implementation="apps.agents.backends.tensorflow.learning.recovery:RecoveryTraining",
)
