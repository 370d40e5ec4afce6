"""The port to a framework's training: what the trainer asks of a model that learns."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

from apps.agents.techniques.training.recipe import Recipe
from apps.agents.techniques.training.state import State

Weights = TypeVar("Weights")


class Learner(Protocol[Weights]):
    """Makes steps and checks of one model by its recipe; `Weights` are copies of all that a model holds."""

    @property
    def recipe(self) -> Recipe: ...

    def step(self, number: int, rate: float) -> float:
        """Step `number` at this learning rate: its loss. What it draws depends on the seed and the number alone."""

    def check(self) -> float:
        """The mean loss of the held-out examples."""

    def copied(self) -> Weights:
        """The weights as they are now."""

    def restore(self, weights: Weights) -> None:
        """Put the model back to these weights."""

    def forget(self) -> None:
        """Put the optimizer back to where it has seen nothing."""

    def finish(self) -> None:
        """Leave the model as it will run."""

    def write(self, file: Path, state: State, best: Weights) -> None:
        """Write all that is needed to go on from here."""

    def read(self, file: Path) -> tuple[State, Weights]:
        """Go on from what `write` wrote: where the training stood, and the best weights so far."""

    def alone(self) -> AbstractContextManager[object]:
        """While it is entered, random numbers outside of the training stay as they are."""
