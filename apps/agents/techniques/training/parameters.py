"""The parameters that all techniques with training share, whatever the framework."""

from __future__ import annotations

from apps.agents.techniques.spec import ParameterSpec

LENGTH: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        name="minutes",
        kind="number",
        default=2.0,
        minimum=0.05,
        maximum=24 * 60,
        help="How long to train. The time of a step is measured first, and the schedule is planned accordingly.",
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
RATE: tuple[ParameterSpec, ...] = (
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
DISTILLATION: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        name="distill",
        kind="number",
        default=0.5,
        minimum=0.0,
        maximum=1.0,
        help="Weight of the distance to the original's outputs in the loss. The loss on the labels has the rest. "
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
PICTURES: tuple[ParameterSpec, ...] = (
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
PRECISION = ParameterSpec(
    name="precision",
    kind="choice",
    default="auto",
    choices=("auto", "float32", "bfloat16"),
    help="The number type of matrix products and convolutions in a step. Losses, weights and checks are always "
    "float32. auto: bfloat16 on a CUDA device that has it, float32 elsewhere.",
)
"""For PyTorch only."""
THREADS = ParameterSpec(
    name="threads",
    kind="integer",
    default=1,
    minimum=0,
    maximum=256,
    help="Threads that train. 0 means as many as the worker has cores. A recipe has the actual number, because another "
    "one adds in another order and rounds otherwise.",
    added_later=True,
)
"""For PyTorch only."""
KEEP_ZEROS = ParameterSpec(
    name="keep_zeros",
    kind="boolean",
    default=True,
    help="Weights of linear layers and convolutions that pruning has set to zero stay zero. Off: they learn like all "
    "others.",
)
"""For PyTorch only."""
RECOVERY_PARAMETERS = (*LENGTH, *RATE, *DISTILLATION, *PICTURES)
