"""What original and candidate answer to each test example: the answers that changed, and how all of them are spread."""

from __future__ import annotations

from enum import StrEnum

from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.values import Value


class AnswerKind(StrEnum):
    CLASSES = "classes"
    """One of several classes."""
    NUMBERS = "numbers"
    """One or several numbers."""
    SIMILARITIES = "similarities"
    """A vector, of which the cosine with another vector counts."""
    NONE = "none"
    """The answers are not kept one by one."""


class Turn(StrEnum):
    """What became of an answer."""

    WORSE = "worse"
    """A right class became a wrong one, or the error grew."""
    BETTER = "better"
    OTHER = "other"
    """Wrong before and after, or nothing says what is right."""


class Scores(StrEnum):
    """Where the score of a class comes from."""

    OUTPUT = "output"
    """The output itself, which is a distribution over the classes."""
    SOFTMAX = "softmax"
    """The softmax of the output, or its logistic function if it is one number."""
    NONE = "none"
    """The output is the class itself, without a score."""


class Answer(Value):
    """What one model says of one example."""

    label: str | None = None
    """The class, by name."""
    score: float | None = None
    """Of that class, 0 to 1."""
    numbers: tuple[float, ...] = ()
    """The first numbers of the output, or the cosine."""


class Excerpt(Value):
    """An example as people recognise it."""

    texts: tuple[str, ...] = ()
    values: tuple[tuple[str, str], ...] = ()
    """Columns or inputs with their values, both shortened."""
    picture: str | None = None
    """The name of its picture in the file of answers."""


class ChangedAnswer(Value):
    example: int
    """Its number in the data set's file, from 0."""
    truth: str | None
    """What its label says; `None` without labels."""
    original: Answer
    candidate: Answer
    turn: Turn
    change: float
    """How far apart both answers are: by the score of the original's class, or in the output's own unit."""
    group: str | None = None
    excerpt: Excerpt = Excerpt()


class Mixup(Value):
    """How often the class `truth` was answered with the class `answer`."""

    truth: str
    answer: str
    original: int | None
    candidate: int


class Confusion(Value):
    """Answers by true class, in counts: row by row the true class, column by column the answer."""

    by_label: bool
    """Whether the rows are labels. Otherwise they are the original's answers, and only the candidate has a matrix."""
    classes: tuple[str, ...]
    """Empty if there are more classes than a matrix can show."""
    original: tuple[tuple[int, ...], ...] = ()
    candidate: tuple[tuple[int, ...], ...] = ()
    mixups: tuple[Mixup, ...] = ()
    """Wrong answers by pair of classes: those whose counts differ most first."""


class Histogram(Value):
    """How the numbers of both models are spread over the same bins."""

    of: str
    """What is counted."""
    edges: tuple[float, ...]
    original: tuple[int, ...]
    candidate: tuple[int, ...]


class RanOperator(Value):
    """One operator of a candidate as its runtime ran it."""

    layer: str
    """The layer in the file that it belongs to; empty if it belongs to none."""
    operator: str
    """The runtime's name for it."""
    time_ms: float
    dequantized: str = ""
    """If it computes in float on numbers that were converted for it: their original type."""


class Answers(Value):
    """The answers of both models to the examples on which a candidate was judged."""

    task: Task
    kind: AnswerKind
    reason: str | None = None
    """Why answers are not kept one by one, in a sentence."""
    examples: int = 0
    worse: int = 0
    better: int = 0
    other: int = 0
    shown: tuple[ChangedAnswer, ...] = ()
    """Some of the changed answers: of each turn those that changed most."""
    scores: Scores = Scores.NONE
    confusion: Confusion | None = None
    histograms: tuple[Histogram, ...] = ()

    @property
    def changed(self) -> int:
        """How many answers changed."""
        return self.worse + self.better + self.other

    def of(self, turn: Turn) -> int:
        """How many answers took that turn."""
        return {Turn.WORSE: self.worse, Turn.BETTER: self.better, Turn.OTHER: self.other}[turn]
