"""What a transformer computes and stores, counted on its outline."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from apps.agents.techniques.pruning import Workload


def workload(outline: PreTrainedModel, tokens: int) -> Workload:
    """Multiply-accumulates of the linear layers for one example of so many `tokens`.

    Products of computed matrices, those of attention, do not count. For an input that is not made of tokens, `tokens`
    is 1, and only shares of the work mean anything.
    """
    linear = sum(part.weight.numel() for part in outline.modules() if isinstance(part, nn.Linear))
    return Workload(tokens * linear, sum(weight.numel() for weight in outline.parameters()))
