"""What a transformer computes and stores, counted on its outline."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from apps.agents.techniques.reduction import Workload


def workload(outline: PreTrainedModel, tokens: int) -> Workload:
    """Multiply-accumulates of the linear layers for one example with this number of `tokens`.

    The matrix products inside attention do not count. For inputs other than tokens, `tokens` is 1, and only shares of
    the work are meaningful.
    """
    linear = sum(part.weight.numel() for part in outline.modules() if isinstance(part, nn.Linear))
    return Workload(tokens * linear, sum(weight.numel() for weight in outline.parameters()))
