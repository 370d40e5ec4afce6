"""Recovery training: regains what pruning or another change has cost, on the data set's training part.

The loss combines the loss on the labels with the distance to the original's outputs (knowledge distillation, Hinton et
al. 2015, https://arxiv.org/abs/1503.02531), weighted by the parameter `distill`. Without labels it is the distance
alone. A model that predicts tokens learns them window by window of the texts.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from apps.agents.backends.torch.engine import use_threads
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.placing import place
from apps.agents.backends.torch.saving import save_model
from apps.agents.backends.torch.training.examples import examples_of
from apps.agents.backends.torch.training.lesson import stepper_of
from apps.agents.backends.torch.training.module import check_same, to_save, trainable
from apps.agents.backends.torch.training.precision import chosen, reproducible
from apps.agents.backends.torch.training.trainer import Trainer
from apps.agents.backends.torch.training.zeros import Zeros, zeros_of
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueInvalidOutput
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.techniques.base import Applied, Assignment, BaseOptimizationAgent
from apps.agents.techniques.training.hyperparameters import Hyperparameters
from apps.agents.techniques.training.places import training_part_of
from apps.agents.techniques.training.report import effect_of, evidence_of
from apps.agents.techniques.training.state import State
from apps.agents.techniques.training.threads import training_threads

TEACHER = "teacher"


class RecoveryTraining(BaseOptimizationAgent):
    """Trains the model further, and delivers the weights that were best on held-out examples."""

    _state: State

    def check(self, assignment: Assignment, context: Context) -> None:
        """As any technique. Raises `TrainingPartMissing` without a training part."""
        super().check(assignment, context)
        training_part_of(assignment.dataset, assignment.spec.label)

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        use_threads(training_threads(assignment.parameters))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        with reproducible(device):
            return self._trained(assignment, context, device)

    def _trained(self, assignment: Assignment, context: Context, device: str) -> Applied:
        label = assignment.spec.label
        learner = self._learner(assignment)
        place(learner.module, device)
        hyperparameters = Hyperparameters.of(assignment.parameters, assignment.seed)
        hyperparameters = replace(hyperparameters, precision=chosen(hyperparameters.precision, device))
        examples = examples_of(
            assignment.dataset,
            learner,
            hyperparameters.batch_size,
            hyperparameters.seed,
            device,
            label,
            assignment.batch_divisor,
        )
        original = self._original(assignment, device)
        stepper = stepper_of(learner, original, examples, assignment.dataset.spec, hyperparameters)
        stepper.zeros = self._zeros(learner) if assignment.parameters["keep_zeros"] else None
        self._state = Trainer(stepper, context, assignment.scratch, label).run()
        place(learner.module, "cpu")
        made = self._saved(learner, assignment)
        evidence = {**evidence_of(self._state, examples, device), "precision": hyperparameters.precision}
        evidence["threads"] = torch.get_num_threads()
        if stepper.zeros is not None:
            evidence["zeros_kept"] = _kept(stepper.zeros, label)
        return Applied(made, evidence, {"steps": self._state.steps, "threads": torch.get_num_threads()})

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        """The held-out loss before and after. Raises `TechniqueNoEffect` if training did not lower it."""
        return effect_of(self._state, assignment.spec.label)

    # --- what depends on the format -----------------------------------------------------------------------------------

    def _learner(self, assignment: Assignment) -> TorchModel:
        """The model with a module that can be trained, which computes what the model does."""
        label, loaded = assignment.spec.label, load_model(assignment.model, assignment.scratch)
        learner = trainable(loaded, label)
        check_same(loaded, learner, next(assignment.batches(2, 2)), label)
        return learner

    def _zeros(self, learner: TorchModel) -> Zeros | None:
        return zeros_of(learner.module)

    def _saved(self, learner: TorchModel, assignment: Assignment) -> Path:
        return save_model(to_save(learner), assignment.out)

    def _original(self, assignment: Assignment, device: str) -> TorchModel:
        """What the session started from, as the teacher."""
        return load_model(assignment.further_inputs[TEACHER].path, assignment.scratch, device=device)


def _kept(zeros: Zeros, label: str) -> int:
    """How many weights stayed zero. Raises `TechniqueInvalidOutput` if one did not."""
    if filled := zeros.filled:
        raise TechniqueInvalidOutput(technique=label, reason=f"weights of {filled[0]} that were zero no longer are")
    return zeros.count
