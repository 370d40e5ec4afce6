"""Training PyTorch models further."""

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
        help="How long to train. The time of a step is measured first, and the schedule laid out accordingly.",
    ),
    ParameterSpec(
        name="steps",
        kind="integer",
        default=0,
        minimum=0,
        maximum=10_000_000,
        help="Steps of training in the place of minutes; 0 is as many as fit. A recipe has those that were made.",
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
        help="At its peak: it rises in the first twentieth of the training and falls along a cosine to 0.",
    ),
    ParameterSpec(name="batch_size", kind="integer", default=32, minimum=1, maximum=4096, help="Examples of a step."),
)
_DISTILLATION: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        name="distill",
        kind="number",
        default=0.5,
        minimum=0.0,
        maximum=1.0,
        help="Share of the loss that is the distance to the original's outputs; the rest is that of the labels. "
        "Without labels it is 1.",
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
        help="Pixels by which pictures are moved at random in each direction.",
    ),
    ParameterSpec(
        name="mirror",
        kind="boolean",
        default=False,
        help="Mirror half of the pictures: not where left and right differ in meaning, as in letters and digits.",
    ),
)

TORCH_TRAINING_TECHNIQUES: tuple[TechniqueSpec, ...] = (
    TechniqueSpec(
        name="torch-recover",
        family=Family.TRAINING,
        label="Recovery training",
        summary="The model learns again what a change has cost, from labels and from the original's outputs, on "
        "examples that no candidate is ranked or tested on.",
        formats=TORCH_FORMATS,
        output_format=None,
        requires=("torch",),
        inputs=("teacher",),
        needs_training=True,
        parameters=(*LENGTH, *_RATE, *_DISTILLATION, *_PICTURES),
        expectation=Expectation(size_ratio=1.0, speedup=1.0, metric_drop_points=0.0, risk=Risk.LOW),
        knowledge=RECOVERY,
        reference="Hinton et al. 2015, https://arxiv.org/abs/1503.02531; Loshchilov and Hutter 2017, "
        "https://arxiv.org/abs/1608.03983",
        implementation="apps.agents.backends.torch.recovery:RecoveryTraining",
    ),
)
