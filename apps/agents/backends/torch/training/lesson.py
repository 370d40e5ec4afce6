"""What a model learns from a data set: its loss, what that reads, and the original's answers if the loss needs them."""

from __future__ import annotations

import torch

from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.training.examples import Examples
from apps.agents.backends.torch.training.losses import Loss, are_probabilities
from apps.agents.backends.torch.training.reading import asked, reading_of, task_of
from apps.agents.backends.torch.training.step import Stepper, optimizer_of
from apps.agents.backends.torch.training.teacher import Teacher
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.datasets.dataset_fit import judged_output
from apps.agents.techniques.training.hyperparameters import Hyperparameters


def stepper_of(
    learner: TorchModel, original: TorchModel, examples: Examples, spec: DatasetSpec, hyperparameters: Hyperparameters
) -> Stepper:
    """Trains `learner` with `original` as the teacher."""
    outputs = examples.model.summary.outputs
    judged = [output.name for output in outputs].index(judged_output(outputs, spec.output).name)
    reading, batch = reading_of(spec, judged), next(examples.checks())
    with torch.no_grad():
        output = reading(original.call(batch.tensors), batch.tensors)[judged]
    loss = Loss(task_of(spec), judged, hyperparameters.distill, hyperparameters.temperature, are_probabilities(output))
    teacher = None
    if loss.needs_original(output, batch.labels):
        keeps = loss.reads_one_answer and not hyperparameters.shift and not hyperparameters.mirror
        teacher = Teacher(asked(original, reading), judged, len(examples.part.indices), keeps)
    optimizer, dropout = optimizer_of(learner.module, hyperparameters), loss.learns_labels(output, batch.labels)
    return Stepper(learner, teacher, examples, loss, optimizer, hyperparameters, reading=reading, dropout=dropout)
