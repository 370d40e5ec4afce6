"""The base class of all distillation techniques: checks the student, and what it has learned.

`DistillationAgent` works for any framework. A subclass makes the student (`student_size`), and trains it (`apply`).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.distillation import StudentDiffers
from apps.agents.contracts.errors.techniques import TechniqueNoEffect, TechniqueQuantizedModel
from apps.agents.contracts.errors.training import TrainingPartMissing
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.evaluation.plausibility import weight_bytes
from apps.agents.techniques.base import Assignment, BaseOptimizationAgent, Estimated
from apps.agents.techniques.interface import interface_difference
from apps.agents.techniques.reduction import quantized


@dataclass(frozen=True)
class StudentSize:
    """Parameters of the student and of the model that it is to replace."""

    student: int
    original: int

    @property
    def share(self) -> float:
        return self.student / max(1, self.original)

    def sentence(self) -> str:
        return f"The student has {self.student:,} of {self.original:,} parameters ({self.share:.0%})."


@dataclass(frozen=True)
class Lesson:
    """What a training did to the loss of held-out examples. `best_step` is 0 if no step lowered it."""

    before: float
    best: float
    best_step: int


class DistillationAgent(BaseOptimizationAgent):
    """Techniques that train a student to give the original's outputs, with labels or without."""

    @abstractmethod
    def student_size(self, assignment: Assignment) -> StudentSize:
        """Makes the student, which takes seconds, and counts its parameters. Raises `StudentNotBuilt` if it cannot."""

    @abstractmethod
    def lesson(self) -> Lesson:
        """What the student learned in `apply`."""

    def check(self, assignment: Assignment, context: Context) -> None:
        """As any technique. Raises `TechniqueQuantizedModel`, and `TrainingPartMissing` without a training part."""
        super().check(assignment, context)
        if how := quantized(assignment.engine().summary):
            raise TechniqueQuantizedModel(technique=assignment.spec.label, how=how)
        if assignment.dataset.training_part is None:
            raise TrainingPartMissing(technique=assignment.spec.label)

    def estimate(self, assignment: Assignment) -> Estimated:
        """The size of the file with the student's parameters instead of the model's."""
        size, summary = self.student_size(assignment), assignment.engine().summary
        gone = weight_bytes(summary) * (1 - size.share)
        basis = size.sentence().rstrip(".")
        return Estimated(summary.size_bytes / max(1.0, summary.size_bytes - gone), basis[:1].lower() + basis[1:])

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        """The student's size, and its held-out loss before and after. Raises `TechniqueNoEffect` if it did not fall."""
        lesson = self.lesson()
        if not lesson.best_step:
            reason = f"training left the student's loss on held-out examples at {lesson.before:.4g}"
            raise TechniqueNoEffect(technique=assignment.spec.label, reason=reason)
        return (
            f"{self.student_size(assignment).sentence()} After {lesson.best_step:,} steps its loss on held-out "
            f"examples is {lesson.best:.4g} instead of {lesson.before:.4g}."
        )


def check_student(teacher: ModelSummary, student: ModelSummary, label: str) -> None:
    """Raises `StudentDiffers` if inputs, outputs or the number of classes differ from the original's."""
    if difference := interface_difference(teacher, student):
        raise StudentDiffers(technique=label, reason=difference)
