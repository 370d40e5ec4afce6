"""Narrowing transformers."""

from __future__ import annotations

from apps.agents.contracts.formats import Format
from apps.agents.techniques.knowledge.torch_width import WIDTH
from apps.agents.techniques.parameters import CALIBRATION_EXAMPLES, RIDGE
from apps.agents.techniques.spec import Expectation, Family, ParameterSpec, Risk, TechniqueSpec

_PARAMETERS = (
    ParameterSpec(
        name="removed",
        kind="number",
        default=0.5,
        minimum=0.02,
        maximum=0.95,
        search=(0.3, 0.5),
        help="Share of the units to remove from each block.",
    ),
    ParameterSpec(
        name="what",
        kind="choice",
        default="feed-forward",
        choices=("feed-forward", "heads", "both"),
        help="Features of feed-forward blocks, heads of attention, or both. Heads that share a key and a value are "
        "removed together. BERT and its relatives cannot store fewer heads.",
    ),
    ParameterSpec(
        name="multiple_of",
        kind="choice",
        default=16,
        choices=(1, 8, 16, 32, 64),
        help="Feed-forward blocks keep a multiple of this number of features.",
    ),
    ParameterSpec(
        name="importance",
        kind="choice",
        default="reconstruction",
        choices=("reconstruction", "variance"),
        help="Which units stay: those that the others cannot compensate for, or those that add most to the output.",
    ),
    ParameterSpec(
        name="compensate",
        kind="boolean",
        default=True,
        help="Fit the layers that read the units again by least squares. Off: only cut.",
    ),
    CALIBRATION_EXAMPLES.model_copy(update={"default": 256}),
    RIDGE,
)
TORCH_WIDTH = TechniqueSpec(
    name="torch-prune-width",
    family=Family.PRUNING,
    label="Narrower transformer",
    summary="Removes features of feed-forward blocks and heads of attention, and fits the layers that read them again "
    "on calibration examples. The result is an ordinary transformers folder with a smaller configuration.",
    formats=(Format.TRANSFORMERS,),
    output_format=Format.TRANSFORMERS,
    requires=("torch", "transformers"),
    needs_calibration=True,
    acts_on=("Linear",),
    parameters=_PARAMETERS,
    expectation=Expectation(size_ratio=1.2, speedup=1.3, metric_drop_points=2.0, risk=Risk.MEDIUM),
    knowledge=WIDTH,
    reference="Kurtic et al. 2023, https://arxiv.org/abs/2302.04089",
    implementation="apps.agents.backends.torch.width.agent:WidthPruning",
)
