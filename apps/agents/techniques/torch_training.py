"""The techniques that train PyTorch models further."""

from __future__ import annotations

from apps.agents.contracts.formats import TORCH_FORMATS
from apps.agents.techniques.knowledge.torch_training import RECOVERY
from apps.agents.techniques.spec import Expectation, Family, Risk, TechniqueSpec
from apps.agents.techniques.training.parameters import KEEP_ZEROS, PRECISION, RECOVERY_PARAMETERS, THREADS

TORCH_TRAINING_TECHNIQUES: tuple[TechniqueSpec, ...] = (
    TechniqueSpec(
        name="torch-recover",
        family=Family.TRAINING,
        label="Recovery training",
        summary="Trains the model to recover what a change has cost, with labels and the original's outputs, on "
        "examples of neither the validation nor the test part.",
        formats=TORCH_FORMATS,
        output_format=None,
        requires=("torch",),
        inputs=("teacher",),
        needs_training=True,
        parameters=(*RECOVERY_PARAMETERS, PRECISION, THREADS, KEEP_ZEROS),
        expectation=Expectation(size_ratio=1.0, speedup=1.0, metric_drop_points=0.0, risk=Risk.LOW),
        knowledge=RECOVERY,
        reference="Hinton et al. 2015, https://arxiv.org/abs/1503.02531; Loshchilov and Hutter 2017, "
        "https://arxiv.org/abs/1608.03983",
        implementation="apps.agents.backends.torch.recovery:RecoveryTraining",
    ),
)
