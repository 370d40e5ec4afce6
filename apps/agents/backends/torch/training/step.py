"""One step of training, and one check on held-out examples."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch

from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.training.augmentation import augmented
from apps.agents.backends.torch.training.examples import Batch, Examples
from apps.agents.backends.torch.training.losses import Loss
from apps.agents.backends.torch.training.module import set_training
from apps.agents.backends.torch.training.teacher import Teacher
from apps.agents.techniques.training.recipe import Recipe

SMALLEST_SCALE = 1e-4
_USUAL = 3.0
"""Trained weights are as small as a third of what they began with."""
_STEPS_OF_A_SEED = 1_000_003


@dataclass
class Stepper:
    """Makes steps and checks; it keeps nothing from one to the next but what model and optimizer hold."""

    model: TorchModel
    teacher: Teacher | None
    examples: Examples
    loss: Loss
    optimizer: torch.optim.Optimizer
    recipe: Recipe
    hold: Callable[[], None] | None = None
    """Puts back, after each step, what must not be learned away."""

    def step(self, number: int, rate: float) -> float:
        """Step `number` at this learning rate: its loss. What it draws depends on the seed and the number alone."""
        torch.manual_seed(self.recipe.seed * _STEPS_OF_A_SEED + number)
        batch = self.examples.batch(number)
        tensors = augmented(batch.tensors, self.recipe.shift, mirror=self.recipe.mirror)
        learning = self.recipe.learn_statistics and self.examples.batch_size > 1
        set_training(self.model, learn_statistics=learning)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(replace(batch, tensors=tensors))
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        parameters = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, self.recipe.largest_gradient)
        self.optimizer.step()
        if self.hold is not None:
            self.hold()
        return float(loss.detach())

    def check(self) -> float:
        """The mean loss of the held-out examples, in evaluation mode."""
        self.model.module.eval()
        losses, counts = [], []
        with torch.no_grad():
            for batch in self.examples.checks():
                losses.append(float(self._loss(batch)))
                counts.append(batch.examples)
        total = sum(loss * count for loss, count in zip(losses, counts, strict=True))
        return total / max(1, sum(counts))

    def _loss(self, batch: Batch) -> torch.Tensor:
        wanted = self.teacher.outputs(batch) if self.teacher is not None else None
        with self._precision():
            given = self.model.call(batch.tensors)
        return self.loss(given, wanted, batch.labels)

    def _precision(self) -> AbstractContextManager[Any]:
        """bfloat16 where the device computes in it; a CPU's float32 is as fast on small networks."""
        if self.examples.device != "cuda":
            return nullcontext()
        mixed: AbstractContextManager[Any] = torch.autocast("cuda", torch.bfloat16)
        return mixed


def optimizer_of(module: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over every float parameter, each with a rate of its own; norms and biases do not decay."""
    weights = [weight for weight in module.parameters() if weight.is_floating_point() and weight.requires_grad]
    groups = [
        {"params": [weight], "weight_decay": recipe.weight_decay if weight.ndim > 1 else 0.0, "scale": scale_of(weight)}
        for weight in weights
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)


def scale_of(weight: torch.Tensor) -> float:
    """The weight's rate as a share of the recipe's, 0 to 1: less for weights far smaller than an initialization makes.

    Those of a first layer that takes raw pixels are: Adam's steps do not shrink with the weights, and would undo them.
    The rate is relative to the weights' size as in Shazeer and Stern 2018, https://arxiv.org/abs/1804.04235, section 8.
    """
    if weight.ndim <= 1:
        return 1.0
    fan_in = int(weight[0].numel())
    size = float(weight.detach().float().square().mean().sqrt()) * float(fan_in) ** 0.5
    return float(min(1.0, max(SMALLEST_SCALE, _USUAL * size)))
