"""Small trainings in the test's own process: a network, examples with labels, a clock that only steps move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.training.examples import Examples, examples_of
from apps.agents.backends.torch.training.losses import Loss
from apps.agents.backends.torch.training.step import Stepper, optimizer_of
from apps.agents.backends.torch.training.teacher import Teacher
from apps.agents.backends.torch.training.trainer import Trainer
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.dataset import Task
from apps.agents.datasets.loading import Dataset, load_dataset
from apps.agents.techniques.training.hyperparameters import Hyperparameters
from tests.agents.told import Told
from tests.agents.torch_models import Convolutional, model_of

EXAMPLES = 240


def pictures(examples: int = EXAMPLES) -> np.ndarray:
    """Float32 [N, 3, 8, 8]; each of five classes has a colour of its own."""
    random = np.random.default_rng(1)
    colours = np.array([[3, 0, 0], [0, 3, 0], [0, 0, 3], [-3, 0, 0], [0, -3, 0]])
    found = random.standard_normal((examples, 3, 8, 8)) + np.resize(colours, (examples, 3))[:, :, None, None]
    return found.astype(np.float32)


def data(folder: Path, *, share: float = 0.5, task: str = "classification", y: Any = None) -> Dataset:
    """Pictures with labels, half of them to train on unless another `share` is."""
    labels = np.arange(EXAMPLES) % 5 if y is None else y
    np.savez(folder / "data.npz", x=pictures(), y=labels)
    spec = DatasetSpec(kind="npz", task=task, training_share=share)
    return load_dataset(folder / "data.npz", spec, model_of(network()).summary.inputs, seed=0)


def network() -> Convolutional:
    torch.manual_seed(0)
    return Convolutional().eval()


@dataclass
class Clock:
    """Says how late it is; only what a test calls moves it."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def trainer(
    folder: Path,
    module: nn.Module,
    hyperparameters: Hyperparameters,
    *,
    told: Told | None = None,
    clock: Clock | None = None,
    hold: Callable[[], None] | None = None,
    teacher: Teacher | None = None,
    dataset: Dataset | None = None,
    device: str = "cpu",
) -> Trainer:
    """A trainer of `module` that has done nothing yet."""
    model = model_of(module)
    dataset = dataset or data(folder)
    examples = examples_of(dataset, model, hyperparameters.batch_size, hyperparameters.seed, device, "Training")
    loss = Loss(Task(dataset.spec.task), 0, hyperparameters.distill if teacher else 0.0, hyperparameters.temperature)
    stepper = Stepper(model, teacher, examples, loss, optimizer_of(module, hyperparameters), hyperparameters, hold)
    return Trainer(stepper, told or Told(), folder, "Training", clock or Clock())


def examples_for(folder: Path, model: TorchModel, dataset: Dataset) -> Examples:
    return examples_of(dataset, model, 16, 0, "cpu", "Training")
