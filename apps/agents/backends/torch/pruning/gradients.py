"""Gradients for criteria that estimate how much the loss would change without a channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.training.losses import Loss, are_probabilities
from apps.agents.datasets.dataset_fit import judged_output
from apps.agents.techniques.base import Assignment

BATCHES, BATCH = 4, 16


def gradients_of(model: TorchModel, assignment: Assignment) -> Callable[[nn.Module], None]:
    """A function that computes the gradients of a module's parameters on a few examples of the training part.

    The loss is the task's. If there are no labels for the judged output, it is half of the output's mean square.
    """
    spec, outputs = assignment.dataset.spec, model.summary.outputs
    judged = [output.name for output in outputs].index(judged_output(outputs, spec.output).name)
    size = assignment.dataset.layout.fixed_batch(model.summary.inputs) or BATCH
    examples = assignment.dataset.training(size, assignment.seed)
    batches = [batch for batch, _ in zip(examples, range(BATCHES), strict=False)]

    def learn(module: nn.Module) -> None:
        module.zero_grad(set_to_none=True)
        copied = replace(model, module=module)
        for feeds, labels in batches:
            outputs = copied.call(model.tensors(feeds))
            loss = Loss(spec.task, judged, 0.0, 1.0, are_probabilities(outputs[judged]))
            wanted = None if labels is None else torch.from_numpy(np.array(labels))
            if wanted is None or not loss.reads(outputs[judged], wanted):
                outputs[judged].float().square().mean().mul(0.5).backward()
            else:
                loss(outputs, None, wanted).backward()

    return learn
