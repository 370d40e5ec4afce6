"""How much a channel matters: the criteria by which torch-pruning ranks groups of channels."""

from __future__ import annotations

from typing import Any

import torch_pruning as tp
from torch import nn

MAGNITUDE, SCALE, TAYLOR, MEDIAN = "magnitude", "batch-norm", "taylor", "fpgm"
CRITERIA = (MAGNITUDE, SCALE, TAYLOR, MEDIAN)


def importance_of(criterion: str) -> Any:
    """torch-pruning's implementation of one of `CRITERIA`, summed over all layers that are cut together.

    In this order: Li et al. 2017 (arXiv:1608.08710), Liu et al. 2017 (1708.06519), Molchanov et al. 2019 (1906.10771),
    He et al. 2019 (1811.00250).
    """
    match criterion:
        case "batch-norm":
            return tp.importance.BNScaleImportance()
        case "taylor":
            return tp.importance.GroupTaylorImportance()
        case "fpgm":
            return tp.importance.FPGMImportance(p=2)
        case _:
            return tp.importance.GroupMagnitudeImportance(p=2)


def has_scales(module: nn.Module) -> bool:
    """Whether any batch norm has a scale to rank by."""
    norms = (part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm))
    return any(norm.weight is not None for norm in norms)
