"""One step of training, and one check on held-out examples."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import torch

from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.training.augmentation import augmented
from apps.agents.backends.torch.training.examples import Batch, Examples
from apps.agents.backends.torch.training.losses import Loss
from apps.agents.backends.torch.training.module import set_training
from apps.agents.backends.torch.training.precision import computing
from apps.agents.backends.torch.training.reading import Reading
from apps.agents.backends.torch.training.teacher import Teacher
from apps.agents.backends.torch.training.zeros import Zeros
from apps.agents.techniques.training.hyperparameters import Hyperparameters

SMALLEST_SCALE = 1e-4
_USUAL = 3.0
"""Trained weights may be as small as a third of their initial size."""
_STEPS_OF_A_SEED = 1_000_003


@dataclass
class Stepper:
    """Makes steps and checks. All state from one step to the next is in the model and the optimizer."""

    model: TorchModel
    teacher: Teacher | None
    examples: Examples
    loss: Loss
    optimizer: torch.optim.Optimizer
    hyperparameters: Hyperparameters
    hold: Callable[[], None] | None = None
    """Restores, after each step, what training must not change."""
    reading: Reading = field(default_factory=lambda: Reading(0))
    """What the loss reads, of the model's outputs and of the teacher's."""
    dropout: bool = True
    """Off if the original's outputs are the only target: they are the same each time, so noise does not help."""
    zeros: Zeros | None = None
    """Weights that stay zero."""

    def step(self, number: int, rate: float) -> float:
        """Makes step `number` at this learning rate and returns its loss. Random draws depend on seed and number."""
        torch.manual_seed(self.hyperparameters.seed * _STEPS_OF_A_SEED + number)
        learning = self.hyperparameters.learn_statistics and self.examples.batch_size > 1
        set_training(self.model, learn_statistics=learning, dropout=self.dropout)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._learned(self.examples.portions(number))
        if self.zeros is not None:
            self.zeros.clear_gradients()
        parameters = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, self.hyperparameters.largest_gradient)
        self.optimizer.step()
        if self.hold is not None:
            self.hold()
        return loss

    def _learned(self, portions: list[Batch]) -> float:
        """Add up the gradients of a batch's mean loss, which is returned."""
        total, counted = 0.0, sum(batch.counted for batch in portions)
        for batch in portions:
            tensors = augmented(batch.tensors, self.hyperparameters.shift, mirror=self.hyperparameters.mirror)
            loss = self._loss(replace(batch, tensors=tensors), mixed=True)
            if len(portions) > 1:
                loss = loss * (batch.counted / counted)
            loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
            total += float(loss.detach())
        return total

    def check(self) -> float:
        """The mean loss of the held-out examples, in evaluation mode and in float32, as the model will be delivered."""
        self.model.module.eval()
        losses, counts = [], []
        with torch.no_grad():
            for batch in self.examples.checks():
                losses.append(float(self._loss(batch)))
                counts.append(batch.counted)
        total = sum(loss * count for loss, count in zip(losses, counts, strict=True))
        return total / max(1, sum(counts))

    def _loss(self, batch: Batch, *, mixed: bool = False) -> torch.Tensor:
        """In float32. With `mixed`, the outputs are computed in the training's precision."""
        wanted = self.teacher.outputs(batch) if self.teacher is not None else None
        with computing(self.hyperparameters.precision, self.examples.device) if mixed else nullcontext():
            given = self.reading(self.model.call(batch.tensors), batch.tensors)
        return self.loss(given, wanted, batch.labels)


def optimizer_of(module: torch.nn.Module, hyperparameters: Hyperparameters) -> torch.optim.Optimizer:
    """The optimizer for all float parameters, each with its own rate. Norms and biases do not decay.

    Weights with the same rate are one group: on CUDA a group takes a few kernel launches, however many weights it has.
    """
    alike: dict[tuple[float, float], list[torch.Tensor]] = {}
    for weight in module.parameters():
        if weight.is_floating_point() and weight.requires_grad:
            decay = hyperparameters.weight_decay if weight.ndim > 1 else 0.0
            alike.setdefault((decay, scale_of(weight)), []).append(weight)
    groups = [{"params": weights, "weight_decay": decay, "scale": scale} for (decay, scale), weights in alike.items()]
    if hyperparameters.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=hyperparameters.learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=hyperparameters.learning_rate)


def scale_of(weight: torch.Tensor) -> float:
    """The weight's rate as a share of the training's, 0 to 1: lower for weights much smaller than initial ones are.

    Those of a first layer that reads raw pixels are: Adam's steps do not shrink with the weights, and would ruin them.
    The rate is relative to the weights' size as in Shazeer and Stern 2018, https://arxiv.org/abs/1804.04235, section 8.
    """
    if weight.ndim <= 1:
        return 1.0
    fan_in = int(weight[0].numel())
    size = float(weight.detach().float().square().mean().sqrt()) * float(fan_in) ** 0.5
    return float(min(1.0, max(SMALLEST_SCALE, _USUAL * size)))
