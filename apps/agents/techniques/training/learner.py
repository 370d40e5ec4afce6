"""The port to a framework's training: what the trainer needs from a model that learns."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

from apps.agents.techniques.training.hyperparameters import Hyperparameters
from apps.agents.techniques.training.state import State

Weights = TypeVar("Weights")


class Learner(Protocol[Weights]):
    """Makes steps and checks of one model by its hyperparameters. `Weights` are copies of all that a model stores."""

    @property
    def hyperparameters(self) -> Hyperparameters: ...

    def step(self, number: int, rate: float) -> float:
        """Makes step `number` at this learning rate and returns its loss. Random draws depend on seed and number."""

    def check(self) -> float:
        """The mean loss of the held-out examples."""

    def copied(self) -> Weights:
        """The weights as they are now."""

    def restore(self, weights: Weights) -> None:
        """Reset the model to these weights."""

    def forget(self) -> None:
        """Reset the optimizer to its initial state."""

    def finish(self) -> None:
        """Put the model into the mode in which it will run."""

    def write(self, file: Path, state: State, best: Weights) -> None:
        """Write everything that is needed to continue from here."""

    def read(self, file: Path) -> tuple[State, Weights]:
        """Continue from what `write` wrote. Returns the state of the training, and the best weights so far."""

    def alone(self) -> AbstractContextManager[object]:
        """A context in which training does not disturb random numbers outside of it."""
