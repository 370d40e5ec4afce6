"""What a model with zeros among its weights computes and stores."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from apps.agents.backends.torch.model import TorchModel
from apps.agents.measuring.engine import Feeds
from apps.agents.techniques.reduction import Workload

_COMPUTING = (nn.Linear, nn.modules.conv._ConvNd)


def counted(model: TorchModel, feeds: Feeds, rows: int) -> Workload:
    """Multiply-accumulates of linear layers and convolutions for one of the `rows` examples in `feeds`, zeros included,
    and the weights that are not zero."""
    macs = 0

    def add(layer: nn.Module, given: Any, output: torch.Tensor) -> None:
        nonlocal macs
        macs += output.numel() * math.prod(layer.weight.shape[1:])

    hooks = [part.register_forward_hook(add) for part in model.module.modules() if isinstance(part, _COMPUTING)]
    try:
        model.run(feeds)
    finally:
        for hook in hooks:
            hook.remove()
    left = sum(int(weight.count_nonzero()) for weight in model.module.parameters())
    return Workload(macs // rows, left)
