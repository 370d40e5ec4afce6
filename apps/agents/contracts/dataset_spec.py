"""A member's description of a data set: its kind, its task, its labels, how images become tensors.

It imports no heavy library, because forms, serializers and the API read it in the web process, where numpy is not
installed. `apps.agents.datasets.loading` reads the files themselves, in the worker's child process.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from apps.agents.contracts.image_preprocessing import ImagePreprocessing
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.metrics import POINT_UNITS
from apps.agents.contracts.values import Value

MINIMUM_EXAMPLES = 20
"""Fewer are too few for both calibration and evaluation."""
CALIBRATION_SHARE = 0.2
CALIBRATION_MAXIMUM = 512
"""Calibration uses a fifth of the examples, but at most this many."""
CHOOSING_SHARE = 0.2
CHOOSING_MINIMUM, CHOOSING_MAXIMUM = 32, 2000
"""The validation part takes a fifth of the examples that neither calibrate nor train, within these bounds. The test
part takes all others."""
CHOOSING_LARGEST_SHARE = 1 / 3
"""At most this share of them, even if it is less than `CHOOSING_MINIMUM`: most of a small data set is kept for the test
part."""

MOST_GROUPS = 100
"""More could not be compared: the more groups there are, the wider each group's interval."""

EXAMPLES_AXIS = "N"
MOST_AXES = 8
PAIR_SUFFIXES = ("_a", "_b")


class DatasetKind(StrEnum):
    NPZ = "npz"
    IMAGES = "images"
    TABLE = "table"
    TEXT = "text"


class PartSizes(NamedTuple):
    """How many examples each part of a data set has. No example is in two of them.

    `choosing` is the validation part and `evaluation` the test part.
    """

    calibration: int
    training: int
    choosing: int
    evaluation: int


class Metric(StrEnum):
    TOP1 = "top1"
    TOP5 = "top5"
    MACRO_F1 = "macro_f1"
    MAE = "mae"
    RMSE = "rmse"
    R2 = "r2"
    COSINE = "cosine"
    SPEARMAN = "spearman"
    AGREEMENT = "agreement"
    SEQUENCE_AGREEMENT = "sequence_agreement"
    PERPLEXITY = "perplexity"
    NLL = "nll"
    ACCURACY = "accuracy"
    ACCURACY_PER_CHARACTER = "accuracy_per_character"
    LAST_WORD = "last_word"


class MetricSpec(Value):
    """How a metric is shown.

    Shares (`%`), correlations, cosines and R² (`points`) are multiplied by 100, so a drop of 1 is one point of each.
    Perplexity does not have a unit. Errors are in the label's unit, which `DatasetSpec.unit_of` knows, so `unit` is
    empty.
    """

    metric: Metric
    label: str
    unit: str
    higher_is_better: bool = True


METRICS: dict[Metric, MetricSpec] = {
    spec.metric: spec
    for spec in (
        MetricSpec(metric=Metric.TOP1, label="top-1 accuracy", unit="%"),
        MetricSpec(metric=Metric.TOP5, label="top-5 accuracy", unit="%"),
        MetricSpec(metric=Metric.MACRO_F1, label="macro F1", unit="%"),
        MetricSpec(metric=Metric.MAE, label="mean absolute error", unit="", higher_is_better=False),
        MetricSpec(metric=Metric.RMSE, label="root mean squared error", unit="", higher_is_better=False),
        MetricSpec(metric=Metric.R2, label="R² × 100", unit="points"),
        MetricSpec(metric=Metric.COSINE, label="mean cosine similarity × 100", unit="points"),
        MetricSpec(metric=Metric.SPEARMAN, label="Spearman correlation × 100", unit="points"),
        MetricSpec(metric=Metric.AGREEMENT, label="agreement with the original", unit="%"),
        MetricSpec(metric=Metric.SEQUENCE_AGREEMENT, label="sequence agreement with the original", unit="%"),
        MetricSpec(metric=Metric.PERPLEXITY, label="perplexity", unit="", higher_is_better=False),
        MetricSpec(metric=Metric.NLL, label="negative log-likelihood", unit="nats per token", higher_is_better=False),
        MetricSpec(metric=Metric.ACCURACY, label="accuracy by log-likelihood", unit="%"),
        MetricSpec(metric=Metric.ACCURACY_PER_CHARACTER, label="accuracy by log-likelihood per character", unit="%"),
        MetricSpec(metric=Metric.LAST_WORD, label="last word accuracy", unit="%"),
    )
}

COUNTING = frozenset(
    {
        Metric.TOP1,
        Metric.TOP5,
        Metric.AGREEMENT,
        Metric.ACCURACY,
        Metric.ACCURACY_PER_CHARACTER,
        Metric.LAST_WORD,
    }
)
"""The metrics that count examples which are right. Their interval is exact at any confidence, so that it allows for
several looks."""
MEANS = frozenset({Metric.MAE, Metric.COSINE, Metric.SEQUENCE_AGREEMENT})
"""The metrics that are means of a number per example. Their interval is good enough far out to rule out a candidate
that is only ranked (`apps.agents.measuring.statistics.means`)."""

TASK_METRICS: dict[Task, tuple[Metric, ...]] = {
    Task.CLASSIFICATION: (Metric.TOP1, Metric.TOP5, Metric.MACRO_F1),
    Task.REGRESSION: (Metric.MAE, Metric.RMSE, Metric.R2),
    Task.EMBEDDING: (Metric.SPEARMAN, Metric.COSINE),
    Task.FIDELITY: (Metric.AGREEMENT, Metric.SEQUENCE_AGREEMENT, Metric.R2, Metric.COSINE),
    Task.LANGUAGE_MODELING: (Metric.PERPLEXITY, Metric.NLL),
    Task.MULTIPLE_CHOICE: (Metric.ACCURACY, Metric.ACCURACY_PER_CHARACTER, Metric.LAST_WORD),
}
"""The metrics that can be a task's primary metric. The first is the default."""

TEXT_TASKS = (
    Task.LANGUAGE_MODELING,
    Task.CLASSIFICATION,
    Task.MULTIPLE_CHOICE,
    Task.EMBEDDING,
    Task.FIDELITY,
)
"""The tasks that texts can serve."""
TASKS_OF_TEXTS_ALONE = (Task.LANGUAGE_MODELING, Task.MULTIPLE_CHOICE)


class TextReading(Value):
    """How a file of texts is read, and how much of each text the model gets.

    A file that begins with a brace has one JSON object per line, whose fields are named here. Any other file is plain
    text. Its documents are separated by blank lines, or by `separator`.
    """

    text: str = Field("text", min_length=1, max_length=100)
    label: str = Field("label", min_length=1, max_length=100)
    """Classification: a class number, or a name from the spec's `classes`."""
    text_a: str = Field("text_a", min_length=1, max_length=100)
    text_b: str = Field("text_b", min_length=1, max_length=100)
    score: str = Field("score", min_length=1, max_length=100)
    """Embedding: how similar the two texts are, as any number."""
    context: str = Field("context", min_length=1, max_length=100)
    choices: str = Field("choices", min_length=1, max_length=100)
    answer: str = Field("answer", min_length=1, max_length=100)
    """Multiple choice: the position of the right choice in `choices`, from 0. A line without choices has a `text`,
    whose last word is to be predicted."""
    joint: str = Field(" ", max_length=10)
    """Put between a context and a choice, unless one of them has white space there."""
    separator: str = Field("", max_length=100)
    """Separates documents in plain text. If it is empty, blank lines do."""
    max_tokens: int = Field(512, ge=8, le=131_072)
    """The most tokens in a row, fewer if the model's context is shorter."""


class InputReading(Value):
    """How one input of the model is filled, if this cannot be inferred.

    An input without data of its own, such as a sampling rate or a recurrent model's initial state, is filled with a
    `constant`, or with an `array` of the file that all examples share. That array does not have the axis of examples,
    or has one entry along it.
    """

    batch_axis: int | None = Field(None, ge=0, le=15)
    """The axis of the model's input along which the examples are stacked. Without it, the axis of an input with data is
    detected. An input without data uses its only free axis, if it has exactly one."""
    constant: float | None = Field(None, allow_inf_nan=False)
    array: str | None = Field(None, min_length=1, max_length=200)

    def __str__(self) -> str:
        parts = [
            "" if self.constant is None else f"constant {self.constant:g}",
            "" if self.array is None else f"array {self.array}",
            "" if self.batch_axis is None else f"batch axis {self.batch_axis}",
        ]
        return ", ".join(filter(None, parts))

    @property
    def shared(self) -> bool:
        """Whether all examples have the same value."""
        return self.constant is not None or self.array is not None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.constant is not None and self.array is not None:
            raise ValueError("an input is filled with a constant or with an array, not with both")
        return self


class OutputLabels(Value):
    """The labels of a further output of the model: one per example, in an array or column of their own."""

    label: str = Field(min_length=1, max_length=200)
    task: Task
    """Classification or regression."""
    metric: Metric | None = None
    unit: str | None = Field(None, min_length=1, max_length=30)
    classes: tuple[str, ...] = ()

    def __str__(self) -> str:
        metric, unit = f"metric {self.metric}" if self.metric else "", f"unit {self.unit}" if self.unit else ""
        classes = f"classes {' | '.join(self.classes)}" if self.classes else ""
        return ", ".join(filter(None, (self.label, self.task, metric, unit, classes)))


class DatasetSpec(Value):
    """How to read a data set's file, and what the data set requires of a model.

    - `npz`: arrays with the names of the model's inputs, and the array `label` (`y`).
    - `images`: a zip with one folder of images per class. A folder's class index is its position in `classes`. Without
      `classes`, it is the folder's own number if all names are numbers, else its position in alphabetical order.
    - `table`: CSV or Parquet. `columns` maps a model input to its feature columns. Without it, columns go to the inputs
      of the same name, or all of them, in file order, to the model's only input. `shapes` reshapes the columns of an
      input in row-major order: 50 of them as `(25, 2)`.
    - `text`: texts for a model that has its own tokenizer, plain or as JSON lines (`TextReading`). Language modeling
      and fidelity read `text`; classification reads `text` and `label`; embedding reads `text_a`, `text_b` and `score`;
      multiple choice reads `context`, `choices` and `answer`, or only `text`.

    `pairs` (embedding, npz): every input occurs twice, as `NAME_a` and `NAME_b`, and the label is a similarity score.
    """

    kind: DatasetKind
    task: Task
    metric: Metric | None = None
    label: str = "y"
    """The array or column of labels. It is never an input, even if the task (fidelity) does not read it. For texts,
    `text` names the field."""
    group: str | None = Field(None, min_length=1, max_length=200)
    """The array or column with the group of each example, such as a site or a device. Losses are reported group by
    group. It is not an input unless `columns` names it. If it is the label, each class is a group."""
    unit: str | None = Field(None, min_length=1, max_length=30)
    """Regression: the unit of the labels, such as `°C`. Errors and limits on them are shown in it."""
    classes: tuple[str, ...] = ()
    images: ImagePreprocessing | None = None
    text: TextReading | None = None
    columns: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """The shape of one example, by input. Its size is the number of columns that fill the input: those in `columns`, or
    all of them."""
    pairs: bool = False
    training_share: float = Field(0.0, ge=0, le=0.9)
    """Share of the examples reserved for techniques that train, such as recovery after pruning. Neither calibration nor
    evaluation uses them. If it is 0, such techniques train on the calibration part."""
    examples_may_leave: bool = True
    """Whether a session's package may contain a few of the examples, with which it checks itself. Otherwise it contains
    random inputs from the ranges of the examples' numbers."""
    output: str | None = None
    """The model output from which predictions are read. The default is the first one."""
    inputs: dict[str, InputReading] = Field(default_factory=dict)
    """By the model's input: the axis of its examples, or the value that all examples share."""
    pooling: Literal["none", "first", "mean"] = "none"
    """How token embeddings `[N, tokens, size]` become one per example: the first token's, or the mean over the tokens,
    without those that the input `attention_mask` masks, if the model has this input."""
    ctc_blank: int | None = Field(None, ge=-1, le=1_000_000)
    """The class that stands for nothing in an output `[N, T, C]` of a model trained with CTC; −1 is the last class.
    Greedy decoding then merges repeats and removes it, and sequence agreement is the default metric."""
    output_labels: dict[str, OutputLabels] = Field(default_factory=dict)
    """By the model's output: the labels of outputs other than the judged one (npz, table)."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        self._check()
        self._output_labels_fit()
        return self

    def _check(self) -> None:
        if self.metric is not None and self.metric not in self.metric_choices:
            right = ", ".join(self.metric_choices)
            raise ValueError(f"metric {self.metric} does not go with task {self.task}: choose one of {right}")
        if self.kind is DatasetKind.IMAGES and self.task not in (Task.CLASSIFICATION, Task.FIDELITY):
            raise ValueError("folders of images are classes: the task must be classification or fidelity")
        if self.kind is not DatasetKind.IMAGES and self.images is not None:
            raise ValueError(f"image preprocessing does not go with kind {self.kind}")
        if self.kind is DatasetKind.TEXT and self.task not in TEXT_TASKS:
            raise ValueError(f"task {self.task} does not go with texts: choose one of {', '.join(TEXT_TASKS)}")
        if self.kind is not DatasetKind.TEXT and self.task in TASKS_OF_TEXTS_ALONE:
            raise ValueError(f"task {self.task} reads texts: the kind must be text")
        if self.kind is not DatasetKind.TEXT and self.text is not None:
            raise ValueError(f"text does not go with kind {self.kind}")
        if self.kind is not DatasetKind.TABLE and self.columns:
            raise ValueError(f"columns do not go with kind {self.kind}")
        self._shapes_fit()
        if self.inputs and self.kind is DatasetKind.TEXT:
            raise ValueError(f"inputs do not go with kind {self.kind}: the tokenizer fills every input")
        if self.shared_arrays and self.kind is not DatasetKind.NPZ:
            raise ValueError(f"an array that all examples share goes with kind npz only, not with {self.kind}")
        if self.shared_arrays & {self.label}:
            raise ValueError(f"the array {self.label} holds the labels and cannot fill an input")
        if self.pairs and (self.kind is not DatasetKind.NPZ or self.task is not Task.EMBEDDING):
            raise ValueError("pairs go with kind npz and task embedding only")
        if self.task is Task.EMBEDDING and self.kind is DatasetKind.TABLE:
            raise ValueError("an embedding's label is a vector, which a table column cannot hold: use npz")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes must be different from each other")
        self._group_fits()
        self._sequences_fit()
        self._unit_fits()

    def _group_fits(self) -> None:
        if self.group is None:
            return
        if self.kind not in (DatasetKind.NPZ, DatasetKind.TABLE):
            raise ValueError(f"group names an array or a column, which kind {self.kind} does not have")
        if self.group in self.shared_arrays:
            raise ValueError(f"the array {self.group} fills an input and cannot contain the groups as well")
        if self.group == self.label and self.task is not Task.CLASSIFICATION:
            raise ValueError("the labels can be the groups in task classification only, where they are classes")

    def _sequences_fit(self) -> None:
        if self.ctc_blank is not None and self.task is not Task.FIDELITY:
            raise ValueError(f"ctc_blank goes with task fidelity only, not with {self.task}")
        if self.pooling != "none" and self.primary_metric is Metric.SEQUENCE_AGREEMENT:
            raise ValueError("pooling leaves one vector per example, which is not a sequence: choose none")

    def _unit_fits(self) -> None:
        if self.unit is None:
            return
        if self.task is not Task.REGRESSION:
            raise ValueError("unit goes with task regression only: it is the unit of the labels")
        if self.unit.strip() != self.unit or self.unit in POINT_UNITS:
            raise ValueError("unit must not begin or end with a space, and not be % or points: write percent instead")

    def _output_labels_fit(self) -> None:
        if self.output_labels and (self.pairs or self.kind not in (DatasetKind.NPZ, DatasetKind.TABLE)):
            what = "pairs" if self.pairs else f"kind {self.kind}"
            raise ValueError(f"output_labels name arrays or columns with one label per example, which {what} lacks")
        for name, labels in self.output_labels.items():
            if labels.task not in (Task.CLASSIFICATION, Task.REGRESSION):
                raise ValueError(
                    f"output_labels of {name!r}: choose task classification or regression, not {labels.task}"
                )
            if name == self.output:
                raise ValueError(f"output_labels names {name!r}, the judged output: its labels are in {self.label!r}")
            if labels.label == self.group:
                raise ValueError(
                    f"output_labels of {name!r}: the groups in {self.group!r} cannot be its labels as well"
                )
            try:
                self.of_output(name)._check()
            except ValueError as error:
                raise ValueError(f"output_labels of {name!r}: {error}") from None

    def of_output(self, name: str) -> DatasetSpec:
        """How the labels of a further output are read: as if it were the judged one."""
        apart: dict[str, Any] = {"output_labels": {}, "group": None, "pooling": "none", "ctc_blank": None}
        return self.model_copy(update={**dict(self.output_labels[name]), "output": name, **apart})

    def _shapes_fit(self) -> None:
        if self.shapes and self.kind is not DatasetKind.TABLE:
            raise ValueError(f"shapes do not go with kind {self.kind}: only the columns of a table are reshaped")
        if self.shapes and not self.columns and len(self.shapes) > 1:
            raise ValueError("shapes of several inputs need columns, which say which columns fill each of them")
        for name, shape in self.shapes.items():
            if self.columns and name not in self.columns:
                raise ValueError(f"shapes names the input {name!r}, which columns does not name")
            if not 1 <= len(shape) <= MOST_AXES or min(shape) < 1:
                raise ValueError(f"the shape of {name!r} must have 1 to {MOST_AXES} axes of at least 1")

    def laid_out(self, axes: Mapping[str, int]) -> DatasetSpec:
        """A copy with these axes of examples, by model input, for inputs whose axis is not set yet."""
        found = {
            name: InputReading(batch_axis=axis, **self._without_axis(name))
            for name, axis in axes.items()
            if name not in self.inputs or self.inputs[name].batch_axis is None
        }
        return self.model_copy(update={"inputs": {**self.inputs, **found}})

    def _without_axis(self, name: str) -> dict[str, Any]:
        return self.inputs[name].model_dump(exclude={"batch_axis"}) if name in self.inputs else {}

    @property
    def metric_choices(self) -> tuple[Metric, ...]:
        """The metrics that can be the primary one for this task and form of labels."""
        if self.task is Task.EMBEDDING:
            return (Metric.SPEARMAN,) if self.paired else (Metric.COSINE,)
        return TASK_METRICS[self.task]

    def unit_of(self, metric: Metric) -> str:
        """The unit in which `metric` is shown: that of the labels for errors, if the member named it."""
        return self.unit if self.unit and metric in (Metric.MAE, Metric.RMSE) else METRICS[metric].unit

    @property
    def primary_metric(self) -> Metric:
        """The chosen metric, or the task's default. Fidelity without a class output falls back to R²: the shape of an
        output `[N, T, C]` does not tell sequences of classes from other numbers."""
        decoded = self.metric is None and self.ctc_blank is not None
        return Metric.SEQUENCE_AGREEMENT if decoded else self.metric or self.metric_choices[0]

    @property
    def set_apart(self) -> frozenset[str]:
        """Arrays or columns that are not inputs: those of labels, and that of the groups unless it is a feature."""
        labels = {self.label, *(one.label for one in self.output_labels.values())}
        return frozenset(labels | ({self.group} - self._features if self.group else set()))

    @property
    def named(self) -> frozenset[str]:
        """The columns that the member named."""
        return self.set_apart | self._features | ({self.group} if self.group else set())

    @property
    def _features(self) -> frozenset[str]:
        return frozenset(column for columns in self.columns.values() for column in columns)

    @property
    def shared_arrays(self) -> frozenset[str]:
        """Arrays of the file that all examples share."""
        return frozenset(reading.array for reading in self.inputs.values() if reading.array is not None)

    @property
    def preprocessing(self) -> ImagePreprocessing:
        return self.images or ImagePreprocessing()

    @property
    def reading(self) -> TextReading:
        return self.text or TextReading()

    @property
    def paired(self) -> bool:
        """Whether an example is two rows of the model and its label is how similar they are."""
        return self.pairs or (self.kind is DatasetKind.TEXT and self.task is Task.EMBEDDING)

    @property
    def label_name(self) -> str:
        """The array, column or field that contains the labels."""
        if self.kind is not DatasetKind.TEXT:
            return self.label
        fields = {Task.EMBEDDING: self.reading.score, Task.MULTIPLE_CHOICE: self.reading.answer}
        return fields.get(self.task, self.reading.label)

    @property
    def needs_labels(self) -> bool:
        return self.task not in (Task.FIDELITY, Task.LANGUAGE_MODELING)


def part_sizes(examples: int, training_share: float = 0.0) -> PartSizes:
    """How many of `examples` each part gets. The parts add up to `examples`, and a tenth at least neither calibrates
    nor trains."""
    calibration = min(CALIBRATION_MAXIMUM, int(examples * CALIBRATION_SHARE))
    training = min(examples - calibration - examples // 10, int(examples * training_share))
    left = examples - calibration - training
    wanted = max(CHOOSING_MINIMUM, int(left * CHOOSING_SHARE))
    choosing = max(1, min(CHOOSING_MAXIMUM, wanted, int(left * CHOOSING_LARGEST_SHARE)))
    return PartSizes(calibration, training, choosing, left - choosing)


def metric_by_group(task: Task, primary: Metric) -> Metric | None:
    """The metric that is compared by group: the primary one, or top-1 if that is macro F1.

    `None` for metrics that are not a mean over examples, because a group does not have a share of them.
    """
    if primary is Metric.MACRO_F1:
        return Metric.TOP1
    no_mean = primary in (Metric.RMSE, Metric.SPEARMAN) or (task, primary) == (Task.REGRESSION, Metric.R2)
    return None if no_mean else primary


def evaluation_count(examples: int, training_share: float = 0.0) -> int:
    """How many of `examples` are test examples."""
    return part_sizes(examples, training_share).evaluation
