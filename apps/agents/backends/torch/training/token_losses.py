"""Losses of models that predict the next token, over the positions at which one is to be predicted.

Logits are [rows, tokens, vocabulary], targets [rows, tokens] with `IGNORED` at padding and where nothing is predicted.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from apps.agents.contracts.text import IGNORED


def next_token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean negative log-likelihood in nats per token, in float32."""
    wanted = targets != IGNORED
    return functional.cross_entropy(logits[wanted].float(), targets[wanted])


def token_divergence(given: Tensor, wanted: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """KL(wanted‖given) per token in nats, times the square of the temperature that divides the logits of both.

    Hinton et al. 2015, https://arxiv.org/abs/1503.02531.
    """
    places = targets != IGNORED
    student, teacher = (
        functional.log_softmax(logits[places].float() / temperature, dim=-1) for logits in (given, wanted)
    )
    return functional.kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2
