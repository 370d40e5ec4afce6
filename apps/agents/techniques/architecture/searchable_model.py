"""The port to a framework's search: what a search needs of one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from apps.agents.contracts.context import Context
from apps.agents.techniques.architecture.progress import Progress, Score
from apps.agents.techniques.architecture.space import Space, Values
from apps.agents.techniques.architecture.table import Counts, Operator, Work
from apps.agents.techniques.reduction import Workload


@dataclass(frozen=True)
class Length:
    """Of a training: so many steps, or as many as fit into the minutes if there are none."""

    minutes: float
    steps: int = 0


@dataclass(frozen=True)
class Lesson:
    """The training of one network: its steps, its evidence as plain JSON, and how it scores afterwards."""

    steps: int
    evidence: dict[str, Any]
    score: Score


class SearchableModel(Protocol):
    """A model with a supernet that shares its weights."""

    @property
    def space(self) -> Space: ...

    @property
    def layers(self) -> Counts:
        """What the table is about."""

    def operators_ms(self, operators: Sequence[Operator]) -> Sequence[float]:
        """Times operators alone on this machine."""

    def networks_ms(self, networks: Sequence[Values]) -> Sequence[float]:
        """Times whole sub-networks on this machine."""

    def work(self, values: Values) -> Work: ...

    def workload(self, values: Values) -> Workload: ...

    def learn(self, length: Length, context: Context) -> Lesson:
        """Trains the supernet. The score is that of the largest sub-network."""

    def score(self, values: Values) -> Score:
        """Of a sub-network with the supernet's weights."""

    def train(self, values: Values, length: Length, context: Context) -> Lesson:
        """Trains a sub-network alone, from the supernet's weights. `save` writes the one that was trained last."""

    def save(self, folder: Path) -> Path: ...

    def write(self, file: Path, progress: Progress, inner: Path | None, *, weights: bool) -> None:
        """Writes a checkpoint: a training's own is a part of it, and the supernet's weights if asked to."""

    def read(self, file: Path, folder: Path) -> tuple[Progress, Path | None]:
        """Reads what `write` wrote, puts the weights in place, and unpacks the inner checkpoint into `folder`."""
