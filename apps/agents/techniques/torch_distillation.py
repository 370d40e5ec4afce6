"""The techniques that distil PyTorch models into smaller students."""

from __future__ import annotations

from apps.agents.contracts.chain import STUDENT
from apps.agents.contracts.formats import TORCH_FORMATS, Format
from apps.agents.techniques.knowledge.torch_distillation import GIVEN, NARROW, SHALLOW, SLIM
from apps.agents.techniques.parameters import CALIBRATION_EXAMPLES
from apps.agents.techniques.spec import Expectation, Family, ParameterSpec, Risk, TechniqueSpec
from apps.agents.techniques.training.parameters import DISTILLATION, LENGTH, PICTURES, PRECISION, RATE, THREADS

_INITIAL = ParameterSpec(
    name="initial",
    kind="choice",
    default="teacher",
    choices=("teacher", "fresh"),
    help="Whether the student starts with the weights of the part of the model that it keeps, or with random ones.",
)
_COMPARED: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        name="hidden_weight",
        kind="number",
        default=0.0,
        minimum=0.0,
        maximum=1000.0,
        help="Weight of the distance between hidden states, beside 1 for the outputs. Learned projections map the "
        "student's widths to the original's.",
    ),
    ParameterSpec(
        name="cosine_weight",
        kind="number",
        default=0.0,
        minimum=0.0,
        maximum=1000.0,
        help="Weight of the angle between the last hidden states, beside 1 for the outputs.",
    ),
)
_ATTENTION = ParameterSpec(
    name="attention_weight",
    kind="number",
    default=0.0,
    minimum=0.0,
    maximum=1000.0,
    help="Weight of the distance between attention maps, beside 1 for the outputs.",
)
_LEARNING = (*LENGTH, *RATE, PRECISION, THREADS, *DISTILLATION)
_SOFT_LABELS = "Hinton et al. 2015, https://arxiv.org/abs/1503.02531"
_CODE = "apps.agents.backends.torch.distillation.agent"

TORCH_DISTILLATION_TECHNIQUES: tuple[TechniqueSpec, ...] = (
    TechniqueSpec(
        name="torch-distill",
        family=Family.DISTILLATION,
        label="Distillation into a narrower network",
        summary="A copy with fewer channels learns to give the original's outputs: a smaller dense network, faster in "
        "every runtime.",
        formats=(Format.TORCH_EXPORT, Format.STATE_DICT),
        output_format=Format.TORCH_EXPORT,
        requires=("torch", "torch-pruning"),
        inputs=("teacher",),
        needs_calibration=True,
        needs_training=True,
        parameters=(
            ParameterSpec(
                name="student_parameters",
                kind="number",
                default=0.25,
                minimum=0.01,
                maximum=0.95,
                help="Share of the parameters that the student has.",
            ),
            ParameterSpec(
                name="round_to",
                kind="choice",
                default=8,
                choices=(1, 8, 16),
                help="Layers keep a multiple of this number of channels. Kernels for odd widths are slow.",
            ),
            _INITIAL,
            *_LEARNING,
            *_COMPARED,
            *PICTURES,
        ),
        expectation=Expectation(size_ratio=4.0, speedup=3.0, metric_drop_points=1.0, risk=Risk.MEDIUM),
        knowledge=NARROW,
        reference=f"{_SOFT_LABELS}; Romero et al. 2015, https://arxiv.org/abs/1412.6550; Fang et al. 2023, "
        "https://arxiv.org/abs/2301.12900",
        implementation=f"{_CODE}:NarrowStudent",
    ),
    TechniqueSpec(
        name="torch-distill-layers",
        family=Family.DISTILLATION,
        label="Distillation into fewer layers",
        summary="A copy with some of the layers learns to give the original's outputs, and its hidden states and "
        "attention maps if asked to.",
        formats=(Format.TRANSFORMERS,),
        output_format=None,
        requires=("torch", "transformers"),
        inputs=("teacher",),
        needs_calibration=True,
        needs_training=True,
        parameters=(
            ParameterSpec(
                name="student_layers",
                kind="number",
                default=0.5,
                minimum=0.01,
                maximum=0.99,
                help="Share of the layers that the student has, one at least.",
            ),
            _INITIAL,
            *_LEARNING,
            *_COMPARED,
            _ATTENTION,
        ),
        expectation=Expectation(size_ratio=1.5, speedup=1.9, metric_drop_points=3.0, risk=Risk.MEDIUM),
        knowledge=SHALLOW,
        reference=f"{_SOFT_LABELS}; Sanh et al. 2019, https://arxiv.org/abs/1910.01108; Jiao et al. 2020, "
        "https://arxiv.org/abs/1909.10351; Sun et al. 2020, https://arxiv.org/abs/2004.02984",
        implementation=f"{_CODE}:ShallowStudent",
    ),
    TechniqueSpec(
        name="torch-distill-width",
        family=Family.DISTILLATION,
        label="Distillation into a narrower transformer",
        summary="A copy with fewer hidden channels, heads and features, and fewer layers if asked to, learns to give "
        "the original's outputs and hidden states.",
        formats=(Format.TRANSFORMERS,),
        output_format=None,
        requires=("torch", "transformers"),
        inputs=("teacher",),
        needs_calibration=True,
        needs_training=True,
        acts_on=("Linear",),
        parameters=(
            ParameterSpec(
                name="student_width",
                kind="number",
                default=0.5,
                minimum=0.05,
                maximum=0.95,
                help="Share of the hidden channels, heads and features that the student has. The width of a head "
                "stays.",
            ),
            ParameterSpec(
                name="student_layers",
                kind="number",
                default=1.0,
                minimum=0.01,
                maximum=1.0,
                help="Share of the layers that the student has, one at least.",
            ),
            _INITIAL,
            *_LEARNING,
            *(one.model_copy(update={"default": 1.0}) if one.name == "hidden_weight" else one for one in _COMPARED),
            CALIBRATION_EXAMPLES,
        ),
        expectation=Expectation(size_ratio=2.0, speedup=2.0, metric_drop_points=5.0, risk=Risk.HIGH),
        knowledge=SLIM,
        reference=f"{_SOFT_LABELS}; Muralidharan et al. 2024, https://arxiv.org/abs/2407.14679",
        implementation=f"{_CODE}:SlimStudent",
    ),
    TechniqueSpec(
        name="torch-distill-student",
        family=Family.DISTILLATION,
        label="Distillation into the session's student",
        summary="A model of another architecture, which was chosen when the session started, learns to give the "
        "original's outputs.",
        formats=TORCH_FORMATS,
        output_format=None,
        requires=("torch",),
        inputs=("teacher", STUDENT),
        needs_calibration=True,
        needs_training=True,
        parameters=(*_LEARNING, *PICTURES),
        expectation=Expectation(size_ratio=2.0, speedup=2.0, metric_drop_points=3.0, risk=Risk.MEDIUM),
        knowledge=GIVEN,
        reference=_SOFT_LABELS,
        implementation=f"{_CODE}:GivenStudent",
    ),
)
