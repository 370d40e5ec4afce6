"""Decomposing the layers of PyTorch programs."""

from __future__ import annotations

from apps.agents.contracts.formats import Format
from apps.agents.techniques.decomposition.parameters import DECOMPOSITION
from apps.agents.techniques.knowledge.decomposition import DECOMPOSED_TORCH
from apps.agents.techniques.parameters import MANY_CALIBRATION_EXAMPLES, RIDGE
from apps.agents.techniques.spec import Expectation, Family, Risk, TechniqueSpec

TORCH_DECOMPOSITION = TechniqueSpec(
    name="torch-decompose",
    family=Family.COMPRESSION,
    label="Low-rank decomposition",
    summary="Replaces convolutions and linear layers by two or three smaller ones that compute nearly the same on "
    "calibration examples. The result can be trained further and exported.",
    formats=(Format.TORCH_EXPORT, Format.STATE_DICT),
    output_format=Format.TORCH_EXPORT,
    requires=("torch",),
    needs_calibration=True,
    parameters=(*DECOMPOSITION, MANY_CALIBRATION_EXAMPLES, RIDGE),
    expectation=Expectation(size_ratio=1.6, speedup=1.4, metric_drop_points=0.3, risk=Risk.MEDIUM),
    knowledge=DECOMPOSED_TORCH,
    reference="https://arxiv.org/abs/2511.04494",
    implementation="apps.agents.backends.torch.decomposition.agent:Decomposition",
)
