"""How a supernet learns: by the sandwich rule, with the whole network as the teacher of its sub-networks.

Each step adds up the gradients of the largest sub-network, of the smallest, and of two random ones. The largest learns
what recovery training would have it learn; the others learn to give its outputs (in-place distillation; universally
slimmable networks, https://arxiv.org/abs/1903.05134).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from apps.agents.backends.torch.architecture.supernet import Supernet
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.training.augmentation import augmented
from apps.agents.backends.torch.training.examples import Batch
from apps.agents.backends.torch.training.precision import computing
from apps.agents.backends.torch.training.step import Stepper
from apps.agents.contracts.reports.dataset import Task
from apps.agents.techniques.architecture.space import Values

RANDOM = 2
"""Random sub-networks in each step."""
STATISTICS_BATCHES = 8
"""Of the training examples, from which the norms of a sub-network take its statistics."""
_NORM = nn.modules.batchnorm._BatchNorm


@dataclass
class SandwichStepper(Stepper):
    """Steps and checks of the supernet that is its model's module."""

    checked: Sequence[Values] = field(default=())
    """The sub-networks whose mean loss is checked."""

    @property
    def supernet(self) -> Supernet:
        module = self.model.module
        assert isinstance(module, Supernet)
        return module

    def _learned(self, portions: list[Batch]) -> float:
        """Add up the gradients of all sub-networks of this step. Returns the loss of the largest."""
        total, counted = 0.0, sum(batch.counted for batch in portions)
        space = self.supernet.anatomy.space
        drawn = np.random.default_rng(int(torch.randint(2**31, (1,))))
        others = [space.smallest, *(space.random(drawn) for _ in range(RANDOM))]
        for batch in portions:
            batch = replace(
                batch, tensors=augmented(batch.tensors, self.hyperparameters.shift, mirror=self.hyperparameters.mirror)
            )
            share = batch.counted / counted
            given, loss = self._passed(space.largest, batch)
            (loss * share).backward()  # type: ignore[no-untyped-call, unused-ignore]
            answers = [one.detach() for one in given]
            for values in others:
                _, missed = self._passed(values, batch, answers)
                (missed * share).backward()  # type: ignore[no-untyped-call, unused-ignore]
            total += float(loss.detach()) * share
        self.supernet.chosen = space.largest
        return total

    def _passed(
        self, values: Values, batch: Batch, answers: list[torch.Tensor] | None = None, *, mixed: bool = True
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The outputs of a sub-network, and its loss: the distance to `answers`, if given."""
        self.supernet.chosen = values
        with computing(self.hyperparameters.precision, self.examples.device) if mixed else nullcontext():
            given = self.reading(self.model.call(batch.tensors), batch.tensors)
        if answers is not None:
            return given, replace(self.loss, distill=1.0)(given, answers, batch.labels)
        wanted = self.teacher.outputs(batch) if self.teacher is not None else None
        return given, self.loss(given, wanted, batch.labels)

    def check(self) -> float:
        """The mean loss of `checked` on held-out examples. Norms of all but the largest use a batch's statistics."""
        losses, counts = [], []
        with torch.no_grad():
            for batch in self.examples.checks():
                for values in self.checked:
                    self.model.module.eval()
                    whole = values == self.supernet.anatomy.space.largest
                    with nullcontext() if whole else statistics_of_batches(self.model.module):
                        losses.append(float(self._passed(values, batch, mixed=False)[1]))
                    counts.append(batch.counted)
        self.supernet.chosen = self.supernet.anatomy.space.largest
        return float(np.average(losses, weights=counts))


@contextmanager
def statistics_of_batches(module: nn.Module) -> Iterator[None]:
    """Batch norms use the statistics of each batch."""
    norms = [part for part in module.modules() if isinstance(part, _NORM)]
    try:
        for norm in norms:
            norm.train()
        yield
    finally:
        for norm in norms:
            norm.eval()


@dataclass(frozen=True)
class Scorer:
    """Scores networks on the held-out examples of `stepper`, by its loss."""

    stepper: Stepper

    def score(self, model: TorchModel) -> tuple[float, float | None]:
        """The mean loss, and the accuracy in per cent where the task is classification."""
        right, losses, counts = 0, [], []
        loss, examples = self.stepper.loss, self.stepper.examples
        model.module.eval()
        with torch.no_grad():
            for batch in examples.checks():
                wanted = self.stepper.teacher.outputs(batch) if self.stepper.teacher is not None else None
                given = self.stepper.reading(model.call(batch.tensors), batch.tensors)
                losses.append(float(loss(given, wanted, batch.labels)))
                counts.append(batch.counted)
                right += self._right(given[loss.judged], batch.labels)
        accuracy = 100 * right / max(1, sum(counts)) if loss.task is Task.CLASSIFICATION else None
        return float(np.average(losses, weights=counts)), accuracy

    def take_statistics(self, model: TorchModel) -> None:
        """Give batch norms the statistics of the training examples, which a sub-network does not share with others."""
        norms = [part for part in model.module.modules() if isinstance(part, _NORM)]
        if not norms:
            return
        model.module.eval()
        before = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # The mean over all batches.
            norm.train()
        with torch.no_grad():
            for number in range(STATISTICS_BATCHES):
                for batch in self.stepper.examples.portions(number):
                    model.call(batch.tensors)
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.eval()

    def _right(self, output: torch.Tensor, labels: Any) -> int:
        if (
            labels is None
            or self.stepper.loss.task is not Task.CLASSIFICATION
            or not self.stepper.loss.reads(output, labels)
        ):
            return 0
        rows = output.reshape(len(labels), -1)
        picked = rows.argmax(1) if rows.shape[1] > 1 else (rows[:, 0] > 0).long()
        return int((picked == labels.long()).sum())
