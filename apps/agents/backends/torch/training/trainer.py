"""PyTorch's side of the trainer: a module, its optimizer and its teacher as a `Learner`."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from apps.agents.backends.torch.training.state import Checkpoint, Weights, copied, read_checkpoint, write_checkpoint
from apps.agents.backends.torch.training.step import Stepper
from apps.agents.contracts.context import Context
from apps.agents.techniques.training import trainer
from apps.agents.techniques.training.hyperparameters import Hyperparameters
from apps.agents.techniques.training.state import State


@dataclass
class TorchLearner:
    """Steps and checks are made by `stepper`. Weights are state dicts."""

    stepper: Stepper
    _fresh: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self._fresh = {"state": {}, "param_groups": self.stepper.optimizer.state_dict()["param_groups"]}

    @property
    def hyperparameters(self) -> Hyperparameters:
        return self.stepper.hyperparameters

    def step(self, number: int, rate: float) -> float:
        return self.stepper.step(number, rate)

    def check(self) -> float:
        return self.stepper.check()

    def copied(self) -> Weights:
        return copied(self.stepper.model.module)

    def restore(self, weights: Weights) -> None:
        self.stepper.model.module.load_state_dict(weights)

    def forget(self) -> None:
        self.stepper.optimizer.load_state_dict(self._fresh)

    def finish(self) -> None:
        self.stepper.model.module.eval()

    def write(self, file: Path, state: State, best: Weights) -> None:
        stepper = self.stepper
        answers = stepper.teacher.kept if stepper.teacher is not None else {}
        weights, optimizer = stepper.model.module.state_dict(), stepper.optimizer.state_dict()
        write_checkpoint(file, Checkpoint(state, weights, best, optimizer, answers))

    def read(self, file: Path) -> tuple[State, Weights]:
        kept = read_checkpoint(file)
        self.restore(kept.model)
        self.stepper.optimizer.load_state_dict(kept.optimizer)
        if self.stepper.teacher is not None:
            self.stepper.teacher.kept = kept.answers
        return kept.state, kept.best

    def alone(self) -> AbstractContextManager[object]:
        forked: AbstractContextManager[object] = torch.random.fork_rng(devices=[])
        return forked


@dataclass
class Trainer:
    """One training of `stepper`'s model, in place. Checkpoints are written to `scratch` first."""

    stepper: Stepper
    context: Context
    scratch: Path
    label: str
    """The technique's label, for errors."""
    clock: Callable[[], float] = time.monotonic

    def run(self) -> State:
        """See `apps.agents.techniques.training.trainer.Trainer.run`."""
        learner = TorchLearner(self.stepper)
        return trainer.Trainer(learner, self.context, self.scratch, self.label, self.clock).run()
