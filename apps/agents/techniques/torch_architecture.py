"""Searching for smaller architectures of PyTorch models."""

from __future__ import annotations

from apps.agents.contracts.formats import Format
from apps.agents.techniques.knowledge.torch_architecture import SEARCHED
from apps.agents.techniques.spec import Expectation, Family, ParameterSpec, Risk, TechniqueSpec
from apps.agents.techniques.training.parameters import DISTILLATION, LENGTH, PICTURES, PRECISION, RATE, THREADS

_MINUTES, _STEPS = LENGTH
_LENGTH: tuple[ParameterSpec, ...] = (
    _MINUTES.model_copy(
        update={
            "default": 15.0,
            "minimum": 0.5,
            "help": "For the whole search: the table, the supernet, the trials, and the training of the network found.",
        }
    ),
    _STEPS.model_copy(
        update={
            "help": "Steps of the supernet's training, instead of its share of the minutes. 0 means as many as fit. A "
            "recipe has the actual number."
        }
    ),
    _STEPS.model_copy(
        update={
            "name": "final_steps",
            "help": "Steps of the training of the network found; each finalist makes a quarter of them. 0 means as "
            "many as fit. A recipe has the actual number.",
        }
    ),
)
_SEARCH: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        name="latency_left",
        kind="number",
        default=0.3,
        minimum=0.02,
        maximum=0.95,
        search=(0.3,),
        help="The most that the network found may take, as a share of the original's latency.",
    ),
    ParameterSpec(
        name="trials",
        kind="integer",
        default=96,
        minimum=4,
        maximum=10_000,
        help="Sub-networks that are scored. There are fewer if their share of the minutes is over before.",
    ),
    ParameterSpec(
        name="batch",
        kind="integer",
        default=16,
        minimum=4,
        maximum=256,
        help="Trials that are proposed together: a generation of NSGA-II. A checkpoint is kept after each batch.",
    ),
    ParameterSpec(
        name="sampler",
        kind="choice",
        default="nsga2",
        choices=("nsga2", "tpe"),
        help="How trials are proposed: by a genetic algorithm, or by a tree-structured Parzen estimator.",
    ),
    ParameterSpec(
        name="finalists",
        kind="integer",
        default=3,
        minimum=1,
        maximum=16,
        help="Of the best trials, how many are trained alone for a short while before one of them is chosen.",
    ),
    ParameterSpec(
        name="place",
        kind="integer",
        default=1,
        minimum=1,
        maximum=16,
        help="Which of the finalists is trained to its end, by their loss after the short training. 1: the best.",
    ),
    ParameterSpec(
        name="narrowest",
        kind="number",
        default=0.125,
        minimum=0.01,
        maximum=0.9,
        help="The smallest width of a layer, as a share of its channels, and the fewest heads of an attention.",
    ),
    ParameterSpec(
        name="round_to",
        kind="choice",
        default=0,
        choices=(0, 1, 4, 8, 16),
        help="Widths are multiples of this number of channels. 0: the smallest of 4, 8 and 16 that is measured to be "
        "fast on this worker.",
    ),
    ParameterSpec(
        name="heads",
        kind="boolean",
        default=True,
        help="Whether attentions may have fewer heads.",
    ),
    ParameterSpec(
        name="kernels",
        kind="boolean",
        default=True,
        help="Whether convolutions may keep only the middle of their kernels, down to 3 weights along each axis.",
    ),
    ParameterSpec(
        name="blocks",
        kind="boolean",
        default=True,
        help="Whether residual blocks whose shortcut computes nothing may be skipped.",
    ),
    ParameterSpec(
        name="importance",
        kind="choice",
        default="magnitude",
        choices=("magnitude", "batch-norm", "taylor", "fpgm"),
        help="How channels are ranked, of which narrower sub-networks have the first: by the size of their weights, "
        "the scales of batch norms, gradients on examples, or the distance to the geometric median.",
    ),
    ParameterSpec(
        name="network",
        kind="names",
        default=(),
        help="Widths, heads, kernels and blocks to take instead of searching, such as width:stem=16. A recipe has "
        "those found.",
    ),
)

TORCH_ARCHITECTURE = TechniqueSpec(
    name="torch-search",
    family=Family.ARCHITECTURE,
    label="Architecture search",
    summary="Finds widths, heads, kernels and blocks for a limit on latency by a network whose sub-networks share its "
    "weights, and trains the best sub-network to its end.",
    formats=(Format.TORCH_EXPORT, Format.STATE_DICT),
    output_format=Format.TORCH_EXPORT,
    requires=("torch", "torch-pruning", "onnx", "onnxruntime", "optuna"),
    inputs=("teacher",),
    needs_calibration=True,
    needs_training=True,
    parameters=(*_LENGTH, *_SEARCH, *RATE, PRECISION, THREADS, *DISTILLATION, *PICTURES),
    expectation=Expectation(size_ratio=3.0, speedup=3.3, metric_drop_points=1.0, risk=Risk.MEDIUM),
    knowledge=SEARCHED,
    reference="Yu and Huang 2019, https://arxiv.org/abs/1903.05134; Cai et al. 2020, https://arxiv.org/abs/1908.09791; "
    "Deb et al. 2002, https://doi.org/10.1109/4235.996017; Zhang et al. 2021, https://doi.org/10.1145/3458864.3467882",
    implementation="apps.agents.backends.torch.architecture.agent:TorchArchitectureSearch",
)
