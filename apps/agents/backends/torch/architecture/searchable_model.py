"""PyTorch's side of the search: trains the supernet and its sub-networks, scores them, and times them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from apps.agents.backends.torch.architecture.subnetworks import Subnetworks
from apps.agents.backends.torch.architecture.supernet_training import SandwichStepper, Scorer
from apps.agents.backends.torch.architecture.timing import Stopwatch, timed_network
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.placing import place
from apps.agents.backends.torch.saving import save_model
from apps.agents.backends.torch.training.examples import Examples, examples_of
from apps.agents.backends.torch.training.lesson import stepper_of
from apps.agents.backends.torch.training.module import to_save
from apps.agents.backends.torch.training.precision import chosen
from apps.agents.backends.torch.training.step import Stepper
from apps.agents.backends.torch.training.trainer import Trainer
from apps.agents.contracts.context import Context
from apps.agents.techniques.architecture.progress import Progress, Score
from apps.agents.techniques.architecture.searchable_model import Length, Lesson
from apps.agents.techniques.architecture.space import Space, Values
from apps.agents.techniques.architecture.table import Counts, Operator, Work
from apps.agents.techniques.base import Assignment
from apps.agents.techniques.reduction import Workload
from apps.agents.techniques.training.hyperparameters import Hyperparameters
from apps.agents.techniques.training.report import evidence_of
from apps.agents.techniques.training.state import State

TEACHER = "teacher"
_INNER = "inner-checkpoint"
_MIDDLE = 0.5
"""The width of the sub-network that a check of the supernet looks at, besides the largest and the smallest."""


@dataclass
class TorchSearchableModel:
    """An `apps.agents.techniques.architecture.searchable_model.SearchableModel`."""

    assignment: Assignment
    subnetworks: Subnetworks
    device: str
    state: State | None = None
    """Of the training of the network that was trained last."""
    trained: TorchModel | None = None
    _original: TorchModel = field(init=False)

    def __post_init__(self) -> None:
        source = self.assignment.further_inputs[TEACHER].path
        self._original = load_model(source, self.assignment.scratch, device=self.device)

    @property
    def space(self) -> Space:
        return self.subnetworks.space

    @cached_property
    def layers(self) -> Counts:
        return self.subnetworks.counts()

    # --- time and work ------------------------------------------------------------------------------------------------

    def operators_ms(self, operators: Sequence[Operator]) -> list[float]:
        threads = self.assignment.threads
        return self._watch.operators_ms([self.subnetworks.timed(one, threads) for one in operators])

    def networks_ms(self, networks: Sequence[Values]) -> list[float]:
        label, threads = self.assignment.spec.label, self.assignment.threads
        feeds = next(self.assignment.batches(1, 1))
        models = (self.subnetworks.alone(values) for values in networks)
        return self._watch.times_ms([timed_network(model, feeds, threads, label) for model in models])

    def work(self, values: Values) -> Work:
        return self.subnetworks.work(values)

    def workload(self, values: Values) -> Workload:
        return self.subnetworks.workload(values)

    @cached_property
    def _watch(self) -> Stopwatch:
        return Stopwatch(self.assignment.threads)

    # --- training and scores ------------------------------------------------------------------------------------------

    def learn(self, length: Length, context: Context) -> Lesson:
        supernet, hyperparameters = self.subnetworks.supernet, self._hyperparameters(length)
        self._place()
        learner = replace(self.subnetworks.model, module=supernet)
        plain = self._stepper(learner, hyperparameters)
        checked = (self.space.largest, self.space.uniform(_MIDDLE), self.space.smallest)
        stepper = SandwichStepper(**{**plain.__dict__, "checked": checked})
        state = Trainer(stepper, context, self.assignment.scratch, self.assignment.spec.label).run()
        return Lesson(state.steps, self._evidence(state, stepper), self.score(self.space.largest))

    def score(self, values: Values) -> Score:
        self._place()
        model = self.subnetworks.alone(values)
        self._scorer.take_statistics(model)
        return Score(*self._scorer.score(model))

    def train(self, values: Values, length: Length, context: Context) -> Lesson:
        self._place()
        model, hyperparameters = self.subnetworks.alone(values), self._hyperparameters(length)
        self._scorer.take_statistics(model)
        stepper = self._stepper(model, hyperparameters)
        self.state = Trainer(stepper, context, self.assignment.scratch, self.assignment.spec.label).run()
        self.trained = model
        return Lesson(self.state.steps, self._evidence(self.state, stepper), Score(*Scorer(stepper).score(model)))

    def save(self, folder: Path) -> Path:
        assert self.trained is not None
        place(self.trained.module, "cpu")
        return save_model(to_save(self.trained), folder)

    def _evidence(self, state: State, stepper: Stepper) -> dict[str, Any]:
        evidence = evidence_of(state, stepper.examples, self.device)
        return {**evidence, "precision": stepper.hyperparameters.precision, "threads": torch.get_num_threads()}

    def _stepper(self, model: TorchModel, hyperparameters: Hyperparameters) -> Stepper:
        return stepper_of(
            model, self._original, self._examples(model, hyperparameters), self.assignment.dataset.spec, hyperparameters
        )

    def _examples(self, model: TorchModel, hyperparameters: Hyperparameters) -> Examples:
        one = self.assignment
        return examples_of(
            one.dataset,
            model,
            hyperparameters.batch_size,
            hyperparameters.seed,
            self.device,
            one.spec.label,
            one.batch_divisor,
        )

    def _hyperparameters(self, length: Length) -> Hyperparameters:
        hyperparameters = Hyperparameters.of(self.assignment.parameters, self.assignment.seed)
        precision = chosen(hyperparameters.precision, self.device)
        return replace(hyperparameters, minutes=length.minutes, steps=length.steps, precision=precision)

    @cached_property
    def _scorer(self) -> Scorer:
        return Scorer(self._stepper(self.subnetworks.model, self._hyperparameters(Length(1.0))))

    def _place(self) -> None:
        """Move the supernet to the device, after everything that is timed on the CPU."""
        if next(self.subnetworks.supernet.parameters()).device.type != self.device:
            _ = self.subnetworks.places
            place(self.subnetworks.supernet, self.device)
            self.subnetworks.supernet.indices.cache_clear()

    # --- checkpoints --------------------------------------------------------------------------------------------------

    def write(self, file: Path, progress: Progress, inner: Path | None, *, weights: bool) -> None:
        held = self.subnetworks.supernet.state_dict() if weights else {}
        packed = torch.from_numpy(np.fromfile(inner, np.uint8)) if inner is not None else torch.empty(0)
        torch.save({"told": progress.text(), "weights": held, "inner": packed}, file)

    def read(self, file: Path, folder: Path) -> tuple[Progress, Path | None]:
        kept = torch.load(file, map_location="cpu", weights_only=True)
        if kept["weights"]:
            self.subnetworks.supernet.load_state_dict(kept["weights"])
        progress = Progress.read(kept["told"])
        if not len(kept["inner"]):
            return progress, None
        inner = folder / _INNER
        kept["inner"].numpy().tofile(inner)
        return progress, inner


def progress_in(checkpoint: Path) -> Progress:
    """How far the search is that wrote this checkpoint."""
    return Progress.read(torch.load(checkpoint, map_location="cpu", weights_only=True)["told"])
