"""Weights that are zero and stay zero while the others learn, as in gradual pruning's masked training.

Zhu and Gupta 2017, https://arxiv.org/abs/1710.01878. Their gradients are cleared before each step, so an optimizer that
starts afresh never moves them: its momentum stays 0 there, and decay leaves a zero as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

_PRUNED = (nn.Linear, nn.modules.conv._ConvNd)
"""The layers that pruning sets weights of to zero."""


@dataclass(frozen=True)
class Zeros:
    """`places` has the parameter of each layer with zeros, and where they are, by the layer's name."""

    places: Mapping[str, tuple[Tensor, Tensor]]

    @property
    def count(self) -> int:
        return sum(int(where.sum()) for _, where in self.places.values())

    def clear_gradients(self) -> None:
        """Before a step of the optimizer."""
        for weight, where in self.places.values():
            if weight.grad is not None:
                weight.grad.masked_fill_(where, 0.0)

    @property
    def filled(self) -> list[str]:
        """The layers in which a zero has become another number."""
        return [
            name
            for name, (weight, where) in self.places.items()
            if bool(weight.detach()[where.to(weight.device)].any())
        ]


def zeros_of(module: nn.Module) -> Zeros | None:
    """The zeros in the weights of linear layers and convolutions; `None` without any."""
    parts = ((name, part) for name, part in module.named_modules() if isinstance(part, _PRUNED))
    return zeros_in({name: part.weight for name, part in parts})


def zeros_in(weights: Mapping[str, Tensor]) -> Zeros | None:
    """The zeros in these weights of layers, by the layer's name; `None` without any.

    A weight that is zero as a whole was not pruned but has not begun to learn, so it may.
    """
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for name, weight in weights.items():
        where = weight.detach() == 0
        if weight.is_floating_point() and bool(where.any()) and not bool(where.all()):
            found[name] = (weight, where)
    return Zeros(found) if found else None
