"""One interface to every kind of data set: batches of inputs with the model's names and types."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.contracts.errors.datasets import InputUnfilled, ValuesOutOfRange
from apps.agents.contracts.errors.texts import TokenizerMissing
from apps.agents.contracts.reports.dataset import DatasetSummary, Task
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.contracts.text import TextEncoder
from apps.agents.datasets.arrays import ArraySource
from apps.agents.datasets.dataset_fit import Binding, bind, check_input, converts, judged_output
from apps.agents.datasets.groups import counted, group_names
from apps.agents.datasets.images import ImageSource
from apps.agents.datasets.labels import checked_labels, class_labels, numbered
from apps.agents.datasets.layout import Layout
from apps.agents.datasets.output_labels import number_output_labels, read_output_labels
from apps.agents.datasets.split import Indices, portions, split, stratified_order
from apps.agents.datasets.targets import TokenTargets
from apps.agents.datasets.text_dataset import TextDataset
from apps.agents.datasets.texts import TextSource
from apps.agents.datasets.training_part import TrainingPart

Array = NDArray[np.generic]
Arrays = dict[str, Array]

BATCH_BYTES = 64 * 1024 * 1024


class Source(Protocol):
    """Examples as stored in the file."""

    summary: DatasetSummary
    labels: Array | None
    groups: Array | None
    """The values of the group array or column. After `open_source`, one group name per example."""
    output_labels: dict[str, Array]
    """The labels of further outputs, by output."""

    def rows(self, indices: Indices) -> Arrays:
        """The examples at `indices` from every offered array, with the examples on the first axis."""
        ...


Labels = Array | TokenTargets | None


class Dataset(Protocol):
    """A data set bound to a model's inputs and split into parts.

    A batch is a dictionary from input name to an array whose first axis is the rows. A row is an example, except for
    pairs (a batch of n pairs has 2n rows: first the n left ones, then the n right ones) and for some tasks on texts.
    """

    @property
    def spec(self) -> DatasetSpec: ...

    @property
    def summary(self) -> DatasetSummary: ...

    @property
    def source(self) -> Source:
        """The examples as stored in the file."""
        ...

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """What fills each input of the model, in the model's order."""
        ...

    @property
    def layout(self) -> Layout:
        """The batch axis of each input."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """How examples were adapted to the model, in sentences for the reports."""
        ...

    @property
    def calibration_indices(self) -> Indices: ...

    @property
    def evaluation_indices(self) -> Indices: ...

    @property
    def evaluation_rows(self) -> int:
        """Number of rows in all batches of `evaluation`."""
        ...

    def calibration(self, n: int, batch_size: int = 1) -> Iterator[Arrays]:
        """Up to `n` examples that are in no other part, in batches; fewer if the data set does not have as many."""
        ...

    def training(self, batch_size: int, seed: int) -> Iterator[tuple[Arrays, Labels]]:
        """One pass over the examples that techniques may train on, in an order drawn with `seed`, with labels if any.

        These are the part that the spec's `training_share` sets apart or, without that, the calibration part. The test
        part is never among them. Empty for kinds of data that cannot be trained on, so the caller must check.
        """
        ...

    @property
    def training_part(self) -> TrainingPart | None:
        """The part that the spec's `training_share` sets apart; `None` where it sets none apart."""
        ...

    def choosing(self, batch_size: int) -> Iterator[tuple[Arrays, Labels]]:
        """The validation examples, which rank the candidates, in the form of `evaluation`."""
        ...

    def measured_on(self, part: Part) -> Dataset:
        """The same data set with `part` in the place of its test part."""
        ...

    def portions(self, shares: Sequence[float]) -> Sequence[Dataset]:
        """Copies with disjoint portions of the test part in its place, which end at `shares` of it.

        Each has its share of every class, whatever the order of the file. The last share is 1.
        """
        ...

    def evaluation(self, batch_size: int) -> Iterator[tuple[Arrays, Labels]]:
        """All other examples in batches of at most `batch_size`, with their labels if the task has any.

        Batches are smaller if they would take too much memory.
        """
        ...

    def evaluation_order(self, batch_size: int) -> Indices:
        """The example of each row, or pair of rows, of `evaluation` with that batch size, in its order."""
        ...

    def groups_of(self, indices: Indices) -> Array | None:
        """The group name of each of these examples; `None` if the data set does not have groups."""
        ...

    def output_labels(self, indices: Indices) -> Mapping[str, Array]:
        """The labels of each further output for these examples, by output; empty if it has none."""
        ...

    def first(self, n: int) -> Arrays:
        """Exactly `n` rows to time a model on, repeated if there are fewer."""
        ...

    def affordable_batch(self, batch_size: int) -> int:
        """`batch_size`, or less if that many examples would take too much memory."""
        ...


class ArrayDataset:
    """A `Dataset` of arrays, pictures or columns from a file."""

    def __init__(
        self,
        source: Source,
        spec: DatasetSpec,
        inputs: Sequence[TensorSpec],
        seed: int,
        outputs: Sequence[TensorSpec] = (),
    ) -> None:
        self.spec = spec
        self.summary = source.summary
        self.bindings = bind(inputs, source.summary, pairs=spec.pairs, readings=spec.inputs)
        for binding in self.bindings:
            check_input(binding)
        self.source: Source = source
        self._seed, self._outputs = seed, outputs
        self._numbering = ""
        self._labels = None
        if spec.needs_labels and source.labels is not None:
            self._labels = checked_labels(source.labels, spec)
        if self._labels is not None and spec.task is Task.CLASSIFICATION:
            output = judged_output(outputs, spec.output) if outputs else None
            self._labels, self.summary, note = numbered(self._labels.astype(np.int64), self.summary, output)
            self._numbering = note or ""
        further = number_output_labels(source.output_labels, spec, self.summary, outputs)
        self._output_labels, self.summary, self._further_notes = further
        classes = self._labels if spec.task is Task.CLASSIFICATION else None
        parts = split(self.summary.examples, seed, classes, spec.training_share)
        self._calibration, self._training, self._choosing, self._evaluation = parts

    @property
    def notes(self) -> tuple[str, ...]:
        """How labels were numbered, and which inputs have another batch axis than the first."""
        notes = [*([self._numbering] if self._numbering else []), *self._further_notes]
        places = [(binding.wanted.name, binding.batch_axis) for binding in self.bindings if binding.batch_axis]
        if places:
            axes_text = ", ".join(f"axis {axis} of {name}" for name, axis in places)
            notes.append(f"The batch axis is {axes_text} (the first axis is 0).")
        return tuple(notes)

    @property
    def layout(self) -> Layout:
        return Layout({binding.wanted.name: binding.batch_axis for binding in self.bindings})

    def laid_out(self, axes: Mapping[str, int]) -> ArrayDataset:
        """The same data set with these batch axes of the model's inputs."""
        spec = self.spec.laid_out(axes)
        inputs = [binding.wanted for binding in self.bindings]
        return ArrayDataset(self.source, spec, inputs, self._seed, self._outputs)

    @property
    def calibration_indices(self) -> Indices:
        return self._calibration

    @property
    def evaluation_indices(self) -> Indices:
        return self._evaluation

    @property
    def evaluation_rows(self) -> int:
        return len(self._evaluation) * (2 if self.spec.paired else 1)

    @cached_property
    def evaluation_labels(self) -> Array | None:
        """Labels of the test examples, in the order of `evaluation`; `None` for fidelity."""
        return None if self._labels is None else np.asarray(self._labels[self._evaluation])

    def calibration(self, n: int, batch_size: int = 1) -> Iterator[Arrays]:
        yield from (feeds for feeds, _ in self._batches(self._calibration[:n], batch_size))

    def training(self, batch_size: int, seed: int) -> Iterator[tuple[Arrays, Array | None]]:
        indices = self._training if len(self._training) else self._calibration
        yield from self._batches(np.random.default_rng(seed).permutation(indices), batch_size)

    @property
    def training_part(self) -> TrainingPart | None:
        return TrainingPart(self._training, self._labelled) if len(self._training) else None

    def choosing(self, batch_size: int) -> Iterator[tuple[Arrays, Array | None]]:
        yield from self._batches(self._choosing, self.affordable_batch(batch_size))

    def measured_on(self, part: Part) -> ArrayDataset:
        return self if part is Part.EVALUATION else self._with_evaluation(self._choosing)

    def portions(self, shares: Sequence[float]) -> list[ArrayDataset]:
        classes = self.evaluation_labels if self.spec.task is Task.CLASSIFICATION else None
        return [self._with_evaluation(one) for one in portions(self._evaluation, shares, self._seed, classes)]

    def _with_evaluation(self, indices: Indices) -> ArrayDataset:
        other = copy.copy(self)
        other.__dict__.pop("evaluation_labels", None)
        other._evaluation = indices
        return other

    def evaluation(self, batch_size: int) -> Iterator[tuple[Arrays, Array | None]]:
        """All other examples in file order, with their labels if the task has any."""
        yield from self._batches(self._evaluation, self.affordable_batch(batch_size))

    def evaluation_order(self, batch_size: int) -> Indices:
        return self._evaluation

    def sample(self, n: int, batch_size: int) -> Iterator[tuple[Arrays, Array | None]]:
        """At most `n` test examples. Every prefix is spread evenly over the classes."""
        classes = self.evaluation_labels if self.spec.task is Task.CLASSIFICATION else None
        strata = np.zeros(len(self._evaluation), np.int64) if classes is None else classes.astype(np.int64)
        chosen = self._evaluation[stratified_order(strata, seed=0)[:n]]
        yield from self._batches(chosen, self.affordable_batch(batch_size))

    def groups_of(self, indices: Indices) -> Array | None:
        return None if self.source.groups is None else self.source.groups[indices]

    def output_labels(self, indices: Indices) -> dict[str, Array]:
        return {output: np.asarray(labels[indices]) for output, labels in self._output_labels.items()}

    def first(self, n: int) -> Arrays:
        """The first test examples, repeated if there are fewer than `n`."""
        return self.layout.take(self._feeds(np.resize(self._evaluation, n)), np.arange(n))

    def affordable_batch(self, batch_size: int) -> int:
        """`batch_size`, or less if that many examples would take more than 64 MiB."""
        row_bytes = sum(array.nbytes for array in self._feeds(self._evaluation[:1]).values())
        return max(1, min(batch_size, BATCH_BYTES // max(1, row_bytes)))

    def _batches(self, indices: Indices, batch_size: int) -> Iterator[tuple[Arrays, Array | None]]:
        for start in range(0, len(indices), batch_size):
            yield self._labelled(indices[start : start + batch_size])

    def _labelled(self, indices: Indices) -> tuple[Arrays, Array | None]:
        return self._feeds(indices), None if self._labels is None else np.asarray(self._labels[indices])

    def _feeds(self, indices: Indices) -> Arrays:
        rows, examples = self.source.rows(indices), len(indices) * (2 if self.spec.pairs else 1)
        return {
            binding.wanted.name: _filled(binding, rows, pairs=self.spec.pairs)
            if binding.sources
            else shared_input(binding, self.source, examples)
            for binding in self.bindings
        }


def load_dataset(
    path: Path,
    spec: DatasetSpec,
    inputs: Sequence[TensorSpec],
    seed: int,
    *,
    scratch: Path | None = None,
    encoder: TextEncoder | None = None,
    outputs: Sequence[TensorSpec] = (),
) -> Dataset:
    """Open the data set at `path` for a model with `inputs`. The same `seed` gives the same split on every machine.

    Every step of a session must pass the session's seed: with another seed, a step would calibrate on examples that
    another step evaluates on.

    `encoder` is the model's tokenizer, which a data set of texts needs. The size of the model's `outputs` limits the
    batches of texts. `scratch` receives decompressed arrays; without it, a temporary folder lives as long as the data
    set.
    Raises the errors about data sets in `contracts.errors`. Values that are not finite are found by the inspection.
    """
    if spec.kind is not DatasetKind.TEXT:
        return ArrayDataset(open_source(path, spec, scratch=scratch), spec, inputs, seed, outputs)
    if encoder is None:
        raise TokenizerMissing(model="the model at hand", field="dataset")
    return TextDataset(TextSource(path, spec), spec, inputs, seed, encoder, outputs)


def open_source(path: Path, spec: DatasetSpec, *, scratch: Path | None = None) -> Source:
    """The file's examples, not bound to a model. Labels of a classification are already whole numbers.

    Raises the errors of `load_dataset` about the file.
    """
    source = _opened(path, spec, scratch)
    if (
        spec.task is Task.CLASSIFICATION
        and spec.kind in (DatasetKind.NPZ, DatasetKind.TABLE)
        and source.labels is not None
    ):
        read = class_labels(source.labels, spec)
        source.labels = read.labels
        update = {"classes": read.classes, "label_numbers": read.numbers, "notes": (*source.summary.notes, *read.notes)}
        source.summary = source.summary.model_copy(update=update)
    if source.output_labels:
        source.output_labels, source.summary = read_output_labels(source.output_labels, spec, source.summary)
    if source.groups is not None:
        classes = spec.group == spec.label
        values = source.labels if classes and source.labels is not None else source.groups
        source.groups = group_names(values, spec, source.summary.classes)
        source.summary = source.summary.model_copy(update={"groups": counted(source.groups)})
    return source


def _opened(path: Path, spec: DatasetSpec, scratch: Path | None) -> Source:
    if spec.kind is DatasetKind.IMAGES:
        return ImageSource(path, spec)
    if spec.kind is DatasetKind.TEXT:
        return TextSource(path, spec)
    if spec.kind is DatasetKind.TABLE:
        from apps.agents.datasets.tables import TableSource  # pyarrow loads slowly, but few data sets are tables.

        return TableSource(path, spec)
    return ArraySource(path, spec, scratch / "arrays" if scratch else None)


# --- from offered arrays to inputs ------------------------------------------------------------------------------------


def _filled(binding: Binding, rows: Arrays, *, pairs: bool) -> Array:
    parts = [rows[source] for source in binding.sources]
    if pairs:
        array = np.concatenate(parts)
    elif len(parts) > 1:
        array = np.stack(parts, axis=1)
    else:
        array = parts[0]
    if array.ndim == 1 and len(binding.wanted.shape) == 2:
        array = array[:, np.newaxis]
    return cast(np.moveaxis(array, 0, binding.batch_axis or 0), binding.wanted)


def shared_input(binding: Binding, source: Source, examples: int) -> Array:
    """An input that all examples share, for `examples` of them. Raises `InputUnfilled` if an array does not fit it."""
    reading, wanted, axis = binding.reading, binding.wanted, binding.batch_axis
    if reading.array is None:
        # `bind` has refused any free axis except the batch axis; a fixed one is filled in portions.
        lengths = [
            length if isinstance(length, int) and place != axis else examples
            for place, length in enumerate(wanted.shape)
        ]
        return np.full(lengths, reading.constant).astype(wanted.dtype)
    assert isinstance(source, ArraySource)  # The spec allows only arrays of an npz.
    array = source.shared(reading.array)
    if axis is not None and array.ndim == len(wanted.shape) - 1:
        array = np.expand_dims(array, axis)
    if reason := _misfit(array, binding):
        raise InputUnfilled(wanted=str(wanted), reason=f"the array {reading.array!r} {reason}", field="inputs")
    if axis is not None:
        array = np.repeat(array, examples, axis=axis)
    return cast(array, wanted)


def _misfit(array: Array, binding: Binding) -> str | None:
    """Why a shared array does not fit its input, whose batch axis has one entry; `None` if it fits."""
    wanted = binding.wanted
    found = f"is {array.dtype}{list(array.shape)}"
    if not converts(str(array.dtype), wanted.dtype):
        return f"{found}, which cannot be converted safely"
    if array.ndim != len(wanted.shape):
        return f"{found}, but the input has {len(wanted.shape)} axes"
    for place, (want, have) in enumerate(zip(wanted.shape, array.shape, strict=True)):
        if place == binding.batch_axis and have != 1:
            return f"{found}, but must have one entry along its batch axis {place}"
        if place != binding.batch_axis and isinstance(want, int) and want != have:
            return f"{found}, but axis {place} must be {want}"
    return None


def cast(array: Array, wanted: TensorSpec) -> Array:
    """`array` in the input's type. Raises `ValuesOutOfRange` if an integer does not fit a narrower type."""
    if wanted.dtype == "string":
        return array.astype(str).astype(object)
    dtype = np.dtype(wanted.dtype)
    if array.dtype == dtype:
        return np.asarray(array, order="C")  # This leaves a single number without an axis.
    if dtype.kind in "iu" and array.dtype.kind in "iu" and array.size:
        low, high, limits = int(array.min()), int(array.max()), np.iinfo(dtype)
        if low < limits.min or high > limits.max:
            raise ValuesOutOfRange(array=wanted.name, low=low, high=high, dtype=wanted.dtype, field=wanted.name)
    return np.asarray(array.astype(dtype), order="C")
