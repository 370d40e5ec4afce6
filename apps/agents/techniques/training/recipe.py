"""How a model is trained: what a technique's parameters come down to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Recipe:
    """`steps` says how long to train; where it is 0, as many are laid out as the `minutes` allow."""

    minutes: float = 1.0
    steps: int = 0
    optimizer: str = "adamw"
    """`adamw`, or `sgd` with Nesterov momentum of 0.9."""
    learning_rate: float = 1e-3
    """At its peak, after the warm-up."""
    weight_decay: float = 1e-4
    """Of weights with two axes or more: norms and biases decay to nothing that means anything."""
    warmup: float = 0.05
    """Share of the training in which the rate rises to its peak; from there it falls along a cosine to 0."""
    batch_size: int = 32
    distill: float = 0.5
    """How much of the loss is the distance to the original's outputs, 0 to 1; the rest is that of the labels."""
    temperature: float = 4.0
    """By which logits are divided before those of two models are compared."""
    shift: int = 0
    """Pixels by which pictures are moved at random in each direction."""
    mirror: bool = False
    """Whether half of the pictures are mirrored: wrong wherever left and right mean something, as in letters."""
    largest_gradient: float = 1.0
    """To this norm gradients are clipped."""
    patience: int = 4
    """Intervals without a better held-out loss after which training ends."""
    learn_statistics: bool = True
    """Whether batch norms follow the training batches; otherwise they keep the statistics that they have."""
    precision: str = "float32"
    """`float32`, or `bfloat16` for mixed precision: PyTorch's alone."""
    seed: int = 0

    @classmethod
    def of(cls, parameters: Mapping[str, Any], seed: int) -> Self:
        """From a technique's parameters of the same names."""
        known = {name: parameters[name] for name in cls.__dataclass_fields__ if name in parameters}
        return cls(**{**known, "seed": seed})
