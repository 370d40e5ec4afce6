"""Distillation of PyTorch models: the teacher is the original, the student a smaller copy of the model."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any

import torch

from apps.agents.backends.torch.distillation.hints import hints_of
from apps.agents.backends.torch.distillation.inside import LayerStates, Observed
from apps.agents.backends.torch.distillation.loss import StudentLoss, Weights
from apps.agents.backends.torch.distillation.narrowing import changed_widths, narrowed, start_afresh
from apps.agents.backends.torch.distillation.pair import Pair, observed, tensors_of
from apps.agents.backends.torch.distillation.projections import projections_for
from apps.agents.backends.torch.distillation.reading import check_tokens
from apps.agents.backends.torch.distillation.shortening import Depth, depth_of, layers_of, shortened
from apps.agents.backends.torch.distillation.slimming import slimmed
from apps.agents.backends.torch.engine import use_threads
from apps.agents.backends.torch.folder_quantization import calibration_rows, library_at_work
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.placing import place
from apps.agents.backends.torch.pruning.program import to_cut
from apps.agents.backends.torch.saving import save_model
from apps.agents.backends.torch.training.examples import Examples, examples_of
from apps.agents.backends.torch.training.losses import are_probabilities
from apps.agents.backends.torch.training.module import check_same, to_save, trainable
from apps.agents.backends.torch.training.precision import chosen, reproducible
from apps.agents.backends.torch.training.reading import asked, reading_of, task_of
from apps.agents.backends.torch.training.step import Stepper, optimizer_of
from apps.agents.backends.torch.training.teacher import Teacher
from apps.agents.backends.torch.training.trainer import Trainer
from apps.agents.contracts.chain import STUDENT
from apps.agents.contracts.context import Context
from apps.agents.datasets.dataset_fit import judged_output
from apps.agents.techniques.base import Applied, Assignment
from apps.agents.techniques.distillation import DistillationAgent, Lesson, StudentSize, check_student
from apps.agents.techniques.interface import in_place_of
from apps.agents.techniques.training.hyperparameters import Hyperparameters
from apps.agents.techniques.training.report import evidence_of
from apps.agents.techniques.training.state import State
from apps.agents.techniques.training.threads import training_threads

TEACHER = "teacher"
ROWS = 2
FRESH = "fresh"


class StudentTraining(DistillationAgent):
    """Trains what `make` makes. The trainer, its budget and its checkpoints are those of recovery training."""

    _pair: Pair | None = None
    _state: State

    @abstractmethod
    def make(self, assignment: Assignment) -> Pair:
        """Teacher and student, before any training. Raises `StudentNotBuilt`."""

    def student_size(self, assignment: Assignment) -> StudentSize:
        return self._both(assignment).size

    def lesson(self) -> Lesson:
        return Lesson(self._state.held_out_before, self._state.held_out_best, self._state.best_step)

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        pair = self._both(assignment)
        context.log(pair.size.sentence())
        device = "cuda" if torch.cuda.is_available() else "cpu"
        with reproducible(device):
            return self._trained(pair, assignment, context, device)

    def _trained(self, pair: Pair, assignment: Assignment, context: Context, device: str) -> Applied:
        label, hyperparameters = assignment.spec.label, Hyperparameters.of(assignment.parameters, assignment.seed)
        hyperparameters = replace(hyperparameters, precision=chosen(hyperparameters.precision, device))
        teacher, learner = _observed(pair, assignment)
        place(teacher.module, device)
        place(learner.module, device)
        examples = examples_of(
            assignment.dataset,
            learner,
            hyperparameters.batch_size,
            hyperparameters.seed,
            device,
            label,
            assignment.batch_divisor,
        )
        stepper = _stepper(pair, teacher, learner, assignment, hyperparameters, examples)
        self._state = Trainer(stepper, context, assignment.scratch, label).run()
        place(learner.module, "cpu")
        made = save_model(to_save(pair.student), assignment.out)
        evidence = {
            **evidence_of(self._state, examples, device),
            "precision": hyperparameters.precision,
            **pair.evidence,
        }
        evidence["threads"] = torch.get_num_threads()
        settled = {"steps": self._state.steps, "threads": torch.get_num_threads()}
        return Applied(made, {**evidence, "parameters_left": round(pair.size.share, 4)}, settled)

    def _both(self, assignment: Assignment) -> Pair:
        if self._pair is None:
            use_threads(training_threads(assignment.parameters))
            self._pair = self.make(assignment)
            check_student(self._pair.teacher.summary, self._pair.student.summary, assignment.spec.label)
        return self._pair


class NarrowStudent(StudentTraining):
    """A copy of a program or state dict with fewer channels."""

    def make(self, assignment: Assignment) -> Pair:
        parameters, label = assignment.parameters, assignment.spec.label
        feeds = next(assignment.batches(ROWS, ROWS))
        teacher = to_cut(load_teacher(assignment), feeds, assignment.scratch, label)
        model = to_cut(load_model(assignment.model, assignment.scratch), feeds, assignment.scratch, label)
        rows, left = assignment.dataset.layout.rows(feeds), float(parameters["student_parameters"])
        student = narrowed(model, feeds, rows, left, int(parameters["round_to"]), label)
        if parameters["initial"] == FRESH:
            start_afresh(student.module, assignment.seed)
        hints = hints_of(teacher.module, tensors_of(teacher, feeds)) if weights_of(assignment).any else None
        evidence: dict[str, Any] = {"widths": changed_widths(model.module, student.module)}
        evidence |= {"compared": list(hints.names)} if hints else {}
        return Pair(teacher, student, hints, hints, evidence)


class ShallowStudent(StudentTraining):
    """A copy of a transformers folder with fewer layers."""

    def make(self, assignment: Assignment) -> Pair:
        parameters, label = assignment.parameters, assignment.spec.label
        teacher = trainable(load_teacher(assignment), label)
        model = load_model(assignment.model, assignment.scratch)
        depth = depth_of(model, float(parameters["student_layers"]), label)
        fresh = parameters["initial"] == FRESH
        student = trainable(shortened(model, depth, assignment.seed, from_teacher=not fresh), label)
        evidence = {"layers": depth.student, "layers_before": depth.teacher, "layers_kept": list(depth.kept)}
        weights = weights_of(assignment)
        if not weights.any:
            return Pair(teacher, student, evidence=evidence)
        attention = weights.attention > 0
        own = LayerStates(tuple(range(1, depth.student + 1)), attention)
        return Pair(teacher, student, LayerStates(depth.learned, attention), own, evidence)


class SlimStudent(StudentTraining):
    """A copy of a transformers folder with fewer hidden channels, heads and features, and fewer layers if asked to."""

    def make(self, assignment: Assignment) -> Pair:
        parameters, label, seed = assignment.parameters, assignment.spec.label, assignment.seed
        teacher = trainable(load_teacher(assignment), label)
        model = load_model(assignment.model, assignment.scratch)
        count, left = layers_of(model, label), float(parameters["student_layers"])
        depth = depth_of(model, left, label) if left < 1 else Depth(count, count)
        begun = parameters["initial"] != FRESH
        rows = calibration_rows(assignment)
        with library_at_work(label, seed):
            slim = slimmed(model, float(parameters["student_width"]), rows, seed, label, from_teacher=begun)
        made = slim.model if left >= 1 else shortened(slim.model, depth, seed, from_teacher=begun)
        student = trainable(made, label)
        evidence = {**slim.evidence, "layers": depth.student, "layers_before": depth.teacher}
        if not weights_of(assignment).any:
            return Pair(teacher, student, evidence=evidence)
        own = LayerStates(tuple(range(1, depth.student + 1)))
        return Pair(teacher, student, LayerStates(depth.learned), own, evidence, slim.channels)


class GivenStudent(StudentTraining):
    """The model that a member gave the session, of whatever architecture, with the weights that it came with."""

    def make(self, assignment: Assignment) -> Pair:
        label = assignment.spec.label
        teacher = load_teacher(assignment)
        given = load_model(assignment.further_inputs[STUDENT].path, assignment.scratch)
        loaded = replace(given, summary=in_place_of(teacher.summary, given.summary))
        check_student(teacher.summary, loaded.summary, label)
        check_tokens(teacher, loaded, label)
        student = trainable(loaded, label)
        check_same(loaded, student, next(assignment.batches(ROWS, ROWS)), label)
        return Pair(teacher, student)


def load_teacher(assignment: Assignment) -> TorchModel:
    """What the session started from."""
    return load_model(assignment.further_inputs[TEACHER].path, assignment.scratch)


def weights_of(assignment: Assignment) -> Weights:
    """Those that the technique has among its parameters."""
    given = assignment.parameters
    return Weights(**{name: float(given.get(f"{name}_weight", 0.0)) for name in Weights.__dataclass_fields__})


def _observed(pair: Pair, assignment: Assignment) -> tuple[Observed, Observed]:
    """Teacher and learner, with projections drawn from the seed."""
    teacher, student = observed(pair.teacher, pair.read_teacher), observed(pair.student, pair.read_student)
    if pair.read_teacher is None or pair.read_student is None:
        return teacher, student
    if weights_of(assignment).attention:
        _show_attention(pair)
    feeds, count = next(assignment.batches(ROWS, ROWS)), len(pair.student.summary.outputs)
    axes = pair.read_teacher.axes
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(assignment.seed)
        narrow, wide = (model.call(model.tensors(feeds))[count : count + len(axes)] for model in (student, teacher))
        projections = projections_for(narrow, wide, axes, assignment.spec.label, pair.channels)
    return teacher, observed(pair.student, pair.read_student, projections)


def _show_attention(pair: Pair) -> None:
    """Fused kernels do not give probabilities."""
    for model in (pair.teacher, pair.student):
        model.module.set_attn_implementation("eager")  # type: ignore[operator, unused-ignore]


def _stepper(
    pair: Pair,
    teacher: Observed,
    learner: Observed,
    assignment: Assignment,
    hyperparameters: Hyperparameters,
    examples: Examples,
) -> Stepper:
    """With the loss, what it reads of outputs, and the teacher where the loss takes what it gives."""
    spec, outputs = assignment.dataset.spec, pair.teacher.summary.outputs
    judged = [output.name for output in outputs].index(judged_output(outputs, spec.output).name)
    # What is read inside follows the outputs, and its padding is 0 already: reading it changes nothing.
    reading, batch = reading_of(spec, judged), next(examples.checks())
    ask = asked(teacher, reading)
    with torch.no_grad():
        output = ask(batch.tensors)[judged]
    loss = _loss(pair, assignment, hyperparameters, judged, output)
    found = None
    if loss.needs_original(output, batch.labels):
        keeps = (
            loss.reads_one_answer and not hyperparameters.shift and not hyperparameters.mirror and not loss.weights.any
        )
        found = Teacher(ask, judged, len(examples.part.indices), keeps)
    optimizer, dropout = optimizer_of(learner.module, hyperparameters), loss.learns_labels(output, batch.labels)
    return Stepper(learner, found, examples, loss, optimizer, hyperparameters, reading=reading, dropout=dropout)


def _loss(
    pair: Pair, assignment: Assignment, hyperparameters: Hyperparameters, judged: int, output: torch.Tensor
) -> StudentLoss:
    """`output` is what the teacher gives for some examples at the place `judged`."""
    axes, count = pair.read_teacher.axes if pair.read_teacher else (), len(pair.teacher.summary.outputs)
    task, probabilities = task_of(assignment.dataset.spec), are_probabilities(output)
    loss = StudentLoss(
        task, judged, hyperparameters.distill, hyperparameters.temperature, probabilities, count, len(axes)
    )
    return replace(loss, axis=axes[-1] if axes else -1, weights=weights_of(assignment))
