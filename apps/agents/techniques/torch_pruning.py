"""Pruning PyTorch models."""

from __future__ import annotations

from apps.agents.contracts.formats import Format
from apps.agents.techniques.knowledge.torch_pruning import STRUCTURED
from apps.agents.techniques.parameters import KERNEL_SIDE, SPEED_PARAMETERS
from apps.agents.techniques.spec import Expectation, Family, ParameterSpec, Risk, TechniqueSpec

TORCH_PRUNING_TECHNIQUES: tuple[TechniqueSpec, ...] = (
    TechniqueSpec(
        name="torch-prune",
        family=Family.PRUNING,
        label="Structured pruning",
        summary="Removes whole channels with everything that depends on them. The result is a smaller dense network, "
        "faster in every runtime. After a deep cut it has to be trained again.",
        formats=(Format.TORCH_EXPORT, Format.STATE_DICT),
        output_format=Format.TORCH_EXPORT,
        requires=("torch", "torch-pruning"),
        needs_calibration=True,
        parameters=(
            ParameterSpec(
                name="macs_removed",
                kind="number",
                default=0.5,
                minimum=0.02,
                maximum=0.98,
                search=(0.5, 0.7, 0.9),
                help="Share of the multiply-accumulates to remove.",
            ),
            *SPEED_PARAMETERS,
            ParameterSpec(
                name="importance",
                kind="choice",
                default="magnitude",
                choices=("magnitude", "batch-norm", "taylor", "fpgm"),
                help="How channels are ranked: by the size of their weights, the scales of batch norms, gradients on "
                "examples, or the distance to the geometric median.",
            ),
            ParameterSpec(
                name="scope",
                kind="choice",
                default="local",
                choices=("local", "global", "isomorphic"),
                help="Cut every layer alike, or compare channels across the network, or among layers of one kind.",
            ),
            ParameterSpec(
                name="schedule",
                kind="choice",
                default="one-shot",
                choices=("one-shot", "iterative"),
                help="Cut at once, or in five steps that each rank the remaining channels again.",
            ),
            ParameterSpec(
                name="round_to",
                kind="choice",
                default=8,
                choices=(1, 8, 16),
                help="Layers keep a multiple of this number of channels. Kernels for odd widths are slow.",
            ),
            ParameterSpec(
                name=KERNEL_SIDE,
                kind="choice",
                default=0,
                choices=(0, 3, 5),
                help="Convolutions with larger kernels keep the middle of them, this many weights along each axis, "
                "before channels are cut. 0: kernels stay as they are.",
                added_later=True,
            ),
        ),
        expectation=Expectation(size_ratio=2.0, speedup=1.5, metric_drop_points=20.0, risk=Risk.HIGH),
        knowledge=STRUCTURED,
        reference="Fang et al. 2023, https://arxiv.org/abs/2301.12900; Li et al. 2017, https://arxiv.org/abs/1608.08710",
        implementation="apps.agents.backends.torch.pruning.agent:StructuredPruning",
    ),
)
