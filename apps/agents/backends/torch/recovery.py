"""Recovery training: what pruning or another change has cost is learned again from the data set's training part.

The loss is that of the labels and the distance to the original's outputs (knowledge distillation, Hinton et al. 2015,
https://arxiv.org/abs/1503.02531), in the shares that the parameter `distill` says. Without labels it is the distance
alone.
"""

from __future__ import annotations

import torch

from apps.agents.backends.torch.engine import use_threads
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.saving import save_model
from apps.agents.backends.torch.training.examples import Examples, examples_of
from apps.agents.backends.torch.training.losses import Loss, are_probabilities
from apps.agents.backends.torch.training.module import check_same, to_save, trainable
from apps.agents.backends.torch.training.step import Stepper, optimizer_of
from apps.agents.backends.torch.training.teacher import Teacher
from apps.agents.backends.torch.training.trainer import Trainer
from apps.agents.contracts.context import Context
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.datasets.dataset_fit import judged_output
from apps.agents.techniques.base import Applied, Assignment, BaseOptimizationAgent
from apps.agents.techniques.training.places import training_part_of
from apps.agents.techniques.training.recipe import Recipe
from apps.agents.techniques.training.report import effect_of, evidence_of
from apps.agents.techniques.training.state import State

TEACHER = "teacher"


class RecoveryTraining(BaseOptimizationAgent):
    """Trains the model further, and hands over the weights that were best on held-out examples."""

    _state: State

    def check(self, assignment: Assignment, context: Context) -> None:
        """As any technique. Raises `TrainingPartMissing` where nothing may be trained on."""
        super().check(assignment, context)
        training_part_of(assignment.dataset, assignment.spec.label)

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        use_threads(assignment.threads)
        label, device = assignment.spec.label, "cuda" if torch.cuda.is_available() else "cpu"
        loaded = load_model(assignment.model, assignment.scratch)
        learner = trainable(loaded, label)
        check_same(loaded, learner, next(assignment.batches(2, 2)), label)
        learner.module.to(device)
        recipe = Recipe.of(assignment.parameters, assignment.seed)
        size = max(1, recipe.batch_size // assignment.batch_divisor)
        examples = examples_of(assignment.dataset, learner, size, recipe.seed, device, label)
        loss, teacher = self._judge(assignment, recipe, examples)
        stepper = Stepper(learner, teacher, examples, loss, optimizer_of(learner.module, recipe), recipe)
        self._state = Trainer(stepper, context, assignment.scratch, label).run()
        learner.module.to("cpu")
        made = save_model(to_save(learner), assignment.out)
        return Applied(made, evidence_of(self._state, examples, device), {"steps": self._state.steps})

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        """The held-out loss before and after. Raises `TechniqueNoEffect` where training did not lower it."""
        return effect_of(self._state, assignment.spec.label)

    def _judge(self, assignment: Assignment, recipe: Recipe, examples: Examples) -> tuple[Loss, Teacher | None]:
        """The loss, and the original where the loss takes its outputs."""
        spec, summary = assignment.dataset.spec, examples.model.summary
        names = [output.name for output in summary.outputs]
        judged = names.index(judged_output(summary.outputs, spec.output).name)
        original = self._original(assignment, examples.device)
        batch = next(examples.checks())
        with torch.no_grad():
            output = original.call(batch.tensors)[judged]
        loss = Loss(spec.task, judged, recipe.distill, recipe.temperature, are_probabilities(output))
        if not loss.needs_original(output, batch.labels):
            return loss, None
        keeps = spec.task is not Task.FIDELITY and not recipe.shift and not recipe.mirror
        return loss, Teacher(original.call, judged, len(examples.part.indices), keeps)

    def _original(self, assignment: Assignment, device: str) -> TorchModel:
        """What the session started from, as the teacher."""
        return load_model(assignment.further_inputs[TEACHER].path, assignment.scratch, device=device)
