"""What a search has found so far: all that it goes on from after an interruption, besides weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from apps.agents.contracts.context import Context
from apps.agents.techniques.architecture.space import Values
from apps.agents.techniques.architecture.table import Deviation, Table
from apps.agents.techniques.architecture.trials import Trial


@dataclass(frozen=True)
class Score:
    """On the held-out examples. `accuracy` is in per cent; `None` if the task has none."""

    loss: float
    accuracy: float | None


@dataclass(frozen=True)
class Finalist:
    """A trial whose network was trained alone for a short while, and how both score."""

    trial: int
    """The number of the trial, from 1."""
    values: Values
    shared: Score
    """With the supernet's weights."""
    alone: Score
    """After its own training."""


@dataclass
class Progress:
    multiple: int = 1
    """What widths are multiples of."""
    costs: dict[str, float] = field(default_factory=dict)
    """Milliseconds for a million multiply-accumulates with odd multiples of each number, if that was measured."""
    table: Table | None = None
    deviation: Deviation = field(default_factory=Deviation)
    original_ms: float = 0.0
    """What the whole network takes, by the table."""
    supernet: dict[str, Any] = field(default_factory=dict)
    """The evidence of the supernet's training, empty before its end."""
    supernet_steps: int = 0
    trials: list[Trial] = field(default_factory=list)
    searched: bool = False
    """Whether all trials were made."""
    finalists: list[Finalist] = field(default_factory=list)
    spent_s: float = 0.0
    """By all attempts, without the training under way."""

    def text(self) -> str:
        plain = asdict(self)
        plain["table"] = None if self.table is None else self.table.plain()
        plain["deviation"] = list(self.deviation.pairs)
        plain["trials"] = [one.plain() for one in self.trials]
        return json.dumps(plain)

    @classmethod
    def read(cls, text: str) -> Self:
        """What `text` wrote."""
        plain = json.loads(text)
        plain["table"] = None if plain["table"] is None else Table.read(plain["table"])
        plain["deviation"] = Deviation(tuple((one, two) for one, two in plain["deviation"]))
        plain["trials"] = [Trial.read(one) for one in plain["trials"]]
        plain["finalists"] = [
            Finalist(one["trial"], tuple(one["values"]), Score(**one["shared"]), Score(**one["alone"]))
            for one in plain["finalists"]
        ]
        return cls(**plain)


@dataclass(frozen=True)
class PhaseContext:
    """The context of a training within a search: a part of the progress, other names of curves, own checkpoints."""

    whole: Context
    begin: float
    end: float
    what: str
    curves: Mapping[str, str]
    """New names of the curves that are kept."""
    keep: Callable[[Path], None]
    inner: Path | None = None
    """The checkpoint that the training goes on from."""

    def progress(self, fraction: float, message: str, eta_s: float | None = None) -> None:
        self.whole.progress(self.begin + (self.end - self.begin) * fraction, f"{self.what}: {message}", eta_s)

    def log(self, message: str, level: Literal["info", "warning", "error"] = "info") -> None:
        self.whole.log(f"{self.what}: {message}", level)

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        if name in self.curves:
            self.whole.metric(self.curves[name], value, step)

    @property
    def checkpoint(self) -> Path | None:
        return self.inner

    def keep_checkpoint(self, file: Path) -> None:
        self.keep(file)
