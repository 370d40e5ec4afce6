"""The techniques that train PyTorch models further."""

from __future__ import annotations

from apps.agents.contracts.formats import TORCH_FORMATS
from apps.agents.techniques.knowledge.torch_training import RECOVERY
from apps.agents.techniques.spec import Expectation, Family, ParameterSpec, Risk, TechniqueSpec

LENGTH: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        name="minutes",
        kind="number",
        default=2.0,
        minimum=0.05,
        maximum=24 * 60,
        help="How long to train. The time of a step is measured first, and the schedule is set accordingly.",
    ),
    ParameterSpec(
        name="steps",
        kind="integer",
        default=0,
        minimum=0,
        maximum=10_000_000,
        help="Number of training steps, instead of minutes. 0 means as many as fit. A recipe has the actual number.",
    ),
)
_RATE: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        name="optimizer",
        kind="choice",
        default="adamw",
        choices=("adamw", "sgd"),
        help="AdamW, or SGD with Nesterov momentum of 0.9.",
    ),
    ParameterSpec(
        name="learning_rate",
        kind="number",
        default=0.001,
        minimum=1e-7,
        maximum=1.0,
        help="The peak: the rate rises during the first twentieth of the training and then falls along a cosine to 0.",
    ),
    ParameterSpec(name="batch_size", kind="integer", default=32, minimum=1, maximum=4096, help="Examples per step."),
)
_DISTILLATION: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        name="distill",
        kind="number",
        default=0.5,
        minimum=0.0,
        maximum=1.0,
        help="Weight of the distance to the original's outputs in the loss; the labels have the rest. Without labels "
        "it is 1.",
    ),
    ParameterSpec(
        name="temperature",
        kind="number",
        default=4.0,
        minimum=0.1,
        maximum=100.0,
        help="Logits of both models are divided by it before they are compared.",
    ),
)
_PICTURES: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        name="shift",
        kind="integer",
        default=0,
        minimum=0,
        maximum=64,
        help="The most pixels by which images are shifted at random in each direction.",
    ),
    ParameterSpec(
        name="mirror",
        kind="boolean",
        default=False,
        help="Mirror half of the images. Not for images in which left and right matter, such as letters and digits.",
    ),
)

RECOVERY_PARAMETERS = (*LENGTH, *_RATE, *_DISTILLATION, *_PICTURES)

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
        parameters=RECOVERY_PARAMETERS,
        expectation=Expectation(size_ratio=1.0, speedup=1.0, metric_drop_points=0.0, risk=Risk.LOW),
        knowledge=RECOVERY,
        reference="Hinton et al. 2015, https://arxiv.org/abs/1503.02531; Loshchilov and Hutter 2017, "
        "https://arxiv.org/abs/1608.03983",
        implementation="apps.agents.backends.torch.recovery:RecoveryTraining",
    ),
)
