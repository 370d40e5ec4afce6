"""How a model is trained, as given by a technique's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Hyperparameters:
    """Training makes `steps` steps; 0 means as many as fit into `minutes`."""

    minutes: float = 1.0
    steps: int = 0
    optimizer: str = "adamw"
    """`adamw`, or `sgd` with Nesterov momentum of 0.9."""
    learning_rate: float = 1e-3
    """The peak, after the warm-up."""
    weight_decay: float = 1e-4
    """Of weights with two axes or more. Norms and biases do not decay."""
    warmup: float = 0.05
    """Share of the training in which the rate rises to its peak. Then it falls along a cosine to 0."""
    batch_size: int = 32
    distill: float = 0.5
    """Weight of the distance to the original's outputs in the loss, 0 to 1. The loss on the labels has the rest."""
    temperature: float = 4.0
    """Logits of both models are divided by it before they are compared."""
    shift: int = 0
    """The most pixels by which images are shifted at random in each direction."""
    mirror: bool = False
    """Whether half of the images are mirrored. Wrong if left and right matter, as in letters."""
    largest_gradient: float = 1.0
    """The norm to which gradients are clipped."""
    patience: int = 4
    """Training ends after more than so many checks in a row without a better held-out loss."""
    learn_statistics: bool = True
    """Whether batch norms learn from the training batches. Otherwise they keep their statistics."""
    precision: str = "float32"
    """`float32`, or `bfloat16` for mixed precision, which only PyTorch has."""
    seed: int = 0

    @classmethod
    def of(cls, parameters: Mapping[str, Any], seed: int) -> Self:
        """From a technique's parameters of the same names."""
        known = {name: parameters[name] for name in cls.__dataclass_fields__ if name in parameters}
        return cls(**{**known, "seed": seed})
