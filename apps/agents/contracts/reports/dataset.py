"""A data set as inspection sees it."""

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
    """Perplexity: how well the next token is predicted."""
    MULTIPLE_CHOICE = "multiple_choice"
    """The likeliest of several continuations, or the last word, by log-likelihood."""


class TextExcerpt(Value):
    """One example of texts, each cut short where it is long; of a choice the context and then every choice."""

    texts: tuple[str, ...]
    label: int | float | None = None


class LabelNumbers(Value):
    """The whole numbers that stand for classes in a file."""

    low: int
    high: int
    distinct: int


class DatasetSummary(Value):
    """A data set as inspection sees it: its size, its arrays or images, its labels."""

    kind: str
    """`npz`, `images`, `table` or `text`."""
    task: Task
    examples: int
    training_examples: int = 0
    """How many of them are set apart for techniques that train."""
    inputs: tuple[TensorSpec, ...]
    """What each example offers, batch axis first and named `"N"`."""
    labels: TensorSpec | None = None
    """As they stand in the file."""
    label_numbers: LabelNumbers | None = None
    """Of a classification whose file has numbers for classes; `files.class_numbers` says which class each is."""
    classes: tuple[str, ...] = ()
    """Names by class number: the member's own, the folders', or what the file says for each class."""
    size_bytes: int = 0
    notes: tuple[str, ...] = ()
    """What the full check found odd without refusing it, each a sentence: duplicates, rare classes."""
    class_counts: dict[str, int] = {}
    """Examples by class, where the full check has counted them."""
    groups: dict[str, int] = {}
    """Examples by group, where the data set names groups."""
    characters: int | None = None
    """Of all texts, where the examples are texts."""
    excerpts: tuple[TextExcerpt, ...] = ()
    """The first examples, where they are texts."""
