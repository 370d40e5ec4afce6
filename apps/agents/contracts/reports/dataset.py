"""A data set as inspection describes it."""

from __future__ import annotations

from enum import StrEnum

from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.contracts.values import Value


class Task(StrEnum):
    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    EMBEDDING = "embedding"
    FIDELITY = "fidelity"
    LANGUAGE_MODELING = "language_modeling"
    """Predict the next token; measured by perplexity."""
    MULTIPLE_CHOICE = "multiple_choice"
    """Find the most likely of several continuations, or the last word, by log-likelihood."""


class TextExcerpt(Value):
    """The texts of one example, long ones shortened. For multiple choice: the context, then every choice."""

    texts: tuple[str, ...]
    label: int | float | None = None


class LabelNumbers(Value):
    """The integers that stand for classes in a file."""

    low: int
    high: int
    distinct: int


class LabelSummary(Value):
    """The labels of a further output of the model."""

    task: Task
    labels: TensorSpec
    label_numbers: LabelNumbers | None = None
    classes: tuple[str, ...] = ()


class DatasetSummary(Value):
    """A data set as inspection describes it: its size, its arrays or images, its labels."""

    kind: str
    """`npz`, `images`, `table` or `text`."""
    task: Task
    examples: int
    training_examples: int = 0
    """How many of them are set apart for techniques that train."""
    inputs: tuple[TensorSpec, ...]
    """The inputs that the file provides. The batch axis comes first and is named `"N"`."""
    labels: TensorSpec | None = None
    """The labels as they are in the file."""
    label_numbers: LabelNumbers | None = None
    """Only for classification with numbers as classes. `files.class_numbers` maps each number to its class."""
    classes: tuple[str, ...] = ()
    """Names by class number: from the member, from the folders, or as the file writes each class."""
    size_bytes: int = 0
    notes: tuple[str, ...] = ()
    """What the full check found unusual but accepted, such as duplicates or rare classes, one sentence each."""
    class_counts: dict[str, int] = {}
    """Examples by class, if the full check counted them."""
    groups: dict[str, int] = {}
    """Examples by group, if the data set names groups."""
    characters: int | None = None
    """The characters of all texts, if the examples are texts."""
    excerpts: tuple[TextExcerpt, ...] = ()
    """The first examples, if they are texts."""
    output_labels: dict[str, LabelSummary] = {}
    """By the model's output: the labels of outputs other than the judged one."""

    def of_output(self, name: str) -> DatasetSummary:
        """The summary as if this further output were the judged one."""
        update = {**dict(self.output_labels[name]), "output_labels": {}, "class_counts": {}, "groups": {}}
        return self.model_copy(update=update)

    def with_output(self, name: str, one: DatasetSummary) -> DatasetSummary:
        """The summary with what `one` (`of_output`) says of the labels of this further output."""
        labels = self.output_labels[name].model_copy(
            update={"label_numbers": one.label_numbers, "classes": one.classes}
        )
        return self.model_copy(update={"output_labels": {**self.output_labels, name: labels}})
