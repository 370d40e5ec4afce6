"""Sparsity of PyTorch models: weights become zero in place."""

from __future__ import annotations

from apps.agents.contracts.formats import Format
from apps.agents.techniques.knowledge.torch_sparsity import MAGNITUDE, SPARSE_GPT, WANDA
from apps.agents.techniques.spec import Expectation, Family, ParameterSpec, Risk, TechniqueSpec

_PATTERN = ParameterSpec(
    name="pattern",
    kind="choice",
    default="unstructured",
    choices=("unstructured", "2:4"),
    help="Any weights, or two of every four neighbours in a row, which some accelerators compute faster. 2:4 applies "
    "to linear layers only, and is always half.",
)
_SPARSITY = ParameterSpec(
    name="sparsity",
    kind="number",
    default=0.5,
    minimum=0.05,
    maximum=0.95,
    help="Share of the layers' weights that become zero. 2:4 has its own share.",
)
_KEEP_DENSE = ParameterSpec(
    name="keep_dense",
    kind="names",
    default=(),
    help="Names of modules that are not changed. The output head of a transformers model never is.",
)
_SCOPE = ParameterSpec(
    name="scope",
    kind="choice",
    default="layer",
    choices=("layer", "global"),
    help="Whether the share applies to each layer or to all layers together.",
)
_ALLOCATION = ParameterSpec(
    name="allocation",
    kind="choice",
    default="sensitivity",
    choices=("sensitivity", "uniform"),
    help="More zeros in layers where the output loses least, which is measured layer by layer, or the same share for "
    "all. Not for 2:4.",
)
_CALIBRATION = ParameterSpec(
    name="calibration_examples",
    kind="integer",
    default=64,
    minimum=1,
    maximum=4096,
    help="Number of calibration examples that the model is run on.",
)
_FORMATS = (Format.TRANSFORMERS, Format.STATE_DICT, Format.TORCH_EXPORT)
_PACKAGE = "apps.agents.backends.torch.sparsity.agent"

TORCH_SPARSITY_TECHNIQUES: tuple[TechniqueSpec, ...] = (
    TechniqueSpec(
        name="torch-magnitude",
        family=Family.PRUNING,
        label="Magnitude pruning",
        summary="The smallest weights of linear layers and convolutions become zero. Only compressed files become "
        "smaller, and nothing becomes faster on a CPU.",
        formats=_FORMATS,
        output_format=None,
        requires=("torch",),
        acts_on=("Linear", "Conv1d", "Conv2d", "Conv3d"),
        parameters=(_PATTERN, _SPARSITY, _SCOPE, _KEEP_DENSE),
        expectation=Expectation(size_ratio=1.0, speedup=1.0, metric_drop_points=2.0, risk=Risk.MEDIUM),
        knowledge=MAGNITUDE,
        reference="Han et al. 2015, https://arxiv.org/abs/1506.02626",
        implementation=f"{_PACKAGE}:Magnitude",
    ),
    TechniqueSpec(
        name="torch-wanda",
        family=Family.PRUNING,
        label="Wanda",
        summary="Weights of linear layers become zero where the weight times the size of its input is smallest. No "
        "training. Only compressed files become smaller, and nothing becomes faster on a CPU.",
        formats=_FORMATS,
        output_format=None,
        requires=("torch",),
        needs_calibration=True,
        acts_on=("Linear",),
        parameters=(_PATTERN, _SPARSITY, _ALLOCATION, _CALIBRATION, _KEEP_DENSE),
        expectation=Expectation(size_ratio=1.0, speedup=1.0, metric_drop_points=1.5, risk=Risk.MEDIUM),
        knowledge=WANDA,
        reference="Sun et al. 2023, https://arxiv.org/abs/2306.11695",
        implementation=f"{_PACKAGE}:Wanda",
    ),
    TechniqueSpec(
        name="torch-sparsegpt",
        family=Family.PRUNING,
        label="SparseGPT",
        summary="Weights of linear layers become zero column by column, and the rest of each row compensates for them. "
        "No training. Only compressed files become smaller, and nothing becomes faster on a CPU.",
        formats=_FORMATS,
        output_format=None,
        requires=("torch",),
        needs_calibration=True,
        acts_on=("Linear",),
        parameters=(_PATTERN, _SPARSITY, _ALLOCATION, _CALIBRATION, _KEEP_DENSE),
        expectation=Expectation(size_ratio=1.0, speedup=1.0, metric_drop_points=1.0, risk=Risk.MEDIUM),
        knowledge=SPARSE_GPT,
        reference="Frantar and Alistarh 2023, https://arxiv.org/abs/2301.00774",
        implementation=f"{_PACKAGE}:SparseGpt",
    ),
)
