"""Texts as model inputs: rows of tokens, grouped by length, padded on the right, with their target tokens."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.dataset_spec import TASKS_OF_TEXTS_ALONE, DatasetSpec
from apps.agents.contracts.errors.datasets import DatasetEmpty
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.contracts.text import ATTENTION_MASK, IGNORED, TextEncoder
from apps.agents.datasets.dataset_fit import Binding, bind, judged_output
from apps.agents.datasets.labels import numbered
from apps.agents.datasets.layout import FIRST
from apps.agents.datasets.split import Indices, portions, split
from apps.agents.datasets.targets import TokenTargets
from apps.agents.datasets.text_notes import notes_on
from apps.agents.datasets.texts import TextSource
from apps.agents.datasets.token_rows import Cuts, Row, RowMaker, frame_of
from apps.agents.datasets.training_part import TrainingPart

Array = NDArray[np.generic]
Arrays = dict[str, Array]
Group = list[Row]
"""Rows that belong together: two for a pair, else one."""

OUTPUT_BYTES = 64 * 1024 * 1024
"""Maximum size of all outputs of one batch."""
ELEMENT_BYTES = 4


class TextDataset:
    """A `Dataset` of texts, bound to a model's inputs and encoded by its tokenizer.

    A batch contains rows. An example may have several: the windows of a long text, or one row per choice. All rows of a
    batch are padded to its longest, or to the model's length if that is fixed. The attention mask is 0 on padding. A
    model without that input, or with a batch size of one, receives only rows of equal length. A batch of pairs contains
    first the left rows, then the right ones.
    """

    def __init__(
        self,
        source: TextSource,
        spec: DatasetSpec,
        inputs: Sequence[TensorSpec],
        seed: int,
        encoder: TextEncoder,
        outputs: Sequence[TensorSpec] = (),
    ) -> None:
        self.spec = spec
        self.source = source
        self.summary = source.summary
        self.bindings: tuple[Binding, ...] = bind(inputs, source.summary)
        self.layout = FIRST
        self._outputs = outputs
        self._examples = source.examples
        self._labels = source.labels
        self._numbered = ""
        if source.labels is not None and spec.task is Task.CLASSIFICATION:
            output = judged_output(outputs, spec.output) if outputs else None
            labels = source.labels.astype(np.int64)
            self._labels, self.summary, self._numbered = numbered(labels, source.summary, output)
        self._seed = seed
        self._pad_id = encoder.pad_id
        self._alone = any(spec.shape[:1] == (1,) for spec in inputs)
        self._fixed = next((axis for spec in inputs for axis in spec.shape[1:2] if isinstance(axis, int)), None)
        length = min(spec.reading.max_tokens, encoder.context_length, self._fixed or encoder.context_length)
        self._maker = RowMaker(encoder, spec.task, spec.reading, length, frame_of(encoder, spec.task))
        classes = self._labels if spec.task is Task.CLASSIFICATION else None
        parts = split(self.summary.examples, seed, classes, spec.training_share)
        self._calibration, self._training, self._choosing, self._evaluation = parts

    @property
    def calibration_indices(self) -> Indices:
        return self._calibration

    @property
    def evaluation_indices(self) -> Indices:
        return self._evaluation

    @property
    def evaluation_rows(self) -> int:
        """Number of rows in all batches of `evaluation`."""
        return len(self._evaluation_rows[0])

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """The basis of the numbers: the length of rows, and what was split or cut, in sentences."""
        rows, cuts = self._evaluation_rows
        notes = notes_on(self._maker, rows, cuts, self.timed_tokens)
        return (self._numbered, *notes) if self._numbered else notes

    def calibration(self, n: int, batch_size: int = 1) -> Iterator[Arrays]:
        """Up to `n` rows of texts that are not in the test part, in batches of `batch_size`.

        For multiple choice, only the right choice, after its context.
        """
        rows = self._calibration_rows[:n]
        for start in range(0, len(rows), batch_size):
            yield self._feeds(rows[start : start + batch_size])

    def training(self, batch_size: int, seed: int) -> Iterator[tuple[Arrays, Array | TokenTargets | None]]:
        """Empty where the spec sets no training part apart."""
        windows = self.spec.task in TASKS_OF_TEXTS_ALONE
        order = np.random.default_rng(seed).permutation(len(self._training_rows) if windows else self._training)
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            yield self._windows(indices) if windows else self._taken(indices)

    @property
    def training_part(self) -> TrainingPart | None:
        """Its batches have the form of those of `evaluation`.

        If tokens are predicted, an example is a row: a window of a text, or a right choice after its context. Windows
        of one text are neighbours.
        """
        if self.spec.task in TASKS_OF_TEXTS_ALONE:
            rows = self._training_rows
            return TrainingPart(np.arange(len(rows)), self._windows) if rows else None
        return TrainingPart(self._training, self._taken) if len(self._training) else None

    def choosing(self, batch_size: int) -> Iterator[tuple[Arrays, Array | TokenTargets | None]]:
        yield from self.measured_on(Part.CHOOSING).evaluation(batch_size)

    def measured_on(self, part: Part) -> TextDataset:
        return self if part is Part.EVALUATION else self._with_evaluation(self._choosing)

    def portions(self, shares: Sequence[float]) -> list[TextDataset]:
        by_class = self._labels if self.spec.task is Task.CLASSIFICATION else None
        classes = None if by_class is None else by_class[self._evaluation]
        return [self._with_evaluation(one) for one in portions(self._evaluation, shares, self._seed, classes)]

    def _with_evaluation(self, indices: Indices) -> TextDataset:
        other = copy.copy(self)
        for read_from_it in ("_evaluation_rows", "notes", "timed_tokens"):
            other.__dict__.pop(read_from_it, None)
        other._evaluation = indices
        return other

    def evaluation(self, batch_size: int) -> Iterator[tuple[Arrays, Array | TokenTargets | None]]:
        """All other texts in batches of at most `batch_size` rows and about 64 MiB of outputs, the longest rows first.

        Labels are class numbers, scores, or target tokens. Batches after the first come in random order, so that the
        time of finished batches predicts the time of the rest.
        """
        for batch in self._batches_in_order(batch_size):
            rows = [row for side in zip(*batch, strict=True) for row in side]
            yield self._feeds(rows), self._targets(rows)

    def evaluation_order(self, batch_size: int) -> Indices:
        groups = (group for batch in self._batches_in_order(batch_size) for group in batch)
        return np.asarray([group[0].example for group in groups], dtype=np.int64)

    def _batches_in_order(self, batch_size: int) -> Iterator[list[Group]]:
        batches = self._batches(batch_size)
        order = np.random.default_rng(self._seed).permutation(len(batches) - 1) + 1
        return (batches[number] for number in (0, *order))

    def output_labels(self, indices: Indices) -> dict[str, Array]:
        """Empty: a text has one label."""
        return {}

    def groups_of(self, indices: Indices) -> Array | None:
        """`None`: texts do not have groups."""
        return None

    def first(self, n: int) -> Arrays:
        """Exactly `n` rows of equal length to time a model on, without padding. Their length is the median of the test
        rows.

        Longer rows are cut to it. If there are fewer such rows than `n`, they are repeated.
        """
        length = self.timed_tokens
        fitting = [row.ids[:length] for row in self._evaluation_rows[0] if len(row.ids) >= length]
        return self._feeds([Row(fitting[at % len(fitting)], 0, length) for at in range(n)])

    @cached_property
    def timed_tokens(self) -> int:
        """The length of the rows from `first`."""
        return int(np.median([len(row.ids) for row in self._evaluation_rows[0]]))

    def affordable_batch(self, batch_size: int) -> int:
        """`batch_size`, or less if that many of the longest rows would produce more than 64 MiB of outputs."""
        return max(1, min(batch_size, OUTPUT_BYTES // self._row_bytes(self._maker.length)))

    # --- rows ---------------------------------------------------------------------------------------------------------

    @cached_property
    def _evaluation_rows(self) -> tuple[list[Row], Cuts]:
        rows, cuts = self._rows(self._evaluation)
        if not rows:
            raise DatasetEmpty(reason="each of its texts is a single token, which cannot be predicted from anything")
        return rows, cuts

    @cached_property
    def _calibration_rows(self) -> list[Row]:
        rows, _ = self._rows(self._calibration)
        return [row for row in rows if row.right]

    @cached_property
    def _training_rows(self) -> list[Row]:
        rows, _ = self._rows(self._training) if len(self._training) else ([], None)
        return [row for row in rows if row.right]

    def _windows(self, indices: Indices) -> tuple[Arrays, Array | TokenTargets | None]:
        rows = [self._training_rows[int(index)] for index in indices]
        return self._feeds(rows), self._targets(rows)

    def _rows(self, indices: Indices) -> tuple[list[Row], Cuts]:
        numbers = [int(index) for index in indices]
        return self._maker.rows([self._examples[number] for number in numbers], numbers)

    def _taken(self, indices: Indices) -> tuple[Arrays, Array | TokenTargets | None]:
        rows = [row for side in zip(*self._grouped(self._rows(indices)[0]), strict=True) for row in side]
        return self._feeds(rows), self._targets(rows)

    def _groups(self) -> list[Group]:
        return self._grouped(self._evaluation_rows[0])

    def _grouped(self, rows: list[Row]) -> list[Group]:
        step = 2 if self.spec.paired else 1
        return [rows[at : at + step] for at in range(0, len(rows), step)]

    def _batches(self, batch_size: int) -> list[list[Group]]:
        """Groups of similar length, the longest first."""
        maskless = ATTENTION_MASK not in {binding.wanted.name for binding in self.bindings} or self._alone
        batches: list[list[Group]] = []
        limit, length = 0, 0
        for group in sorted(self._groups(), key=_longest, reverse=True):
            full = not batches or len(batches[-1]) >= limit
            if full or (maskless and not self._fixed and _longest(group) != length):
                length = _longest(group)
                limit = max(1, min(batch_size, OUTPUT_BYTES // (self._row_bytes(length) * len(group))))
                batches.append([])
            batches[-1].append(group)
        return batches

    def _row_bytes(self, length: int) -> int:
        """Size of all outputs of one row of `length` tokens, by the axes that the model declares."""
        tokens = self._fixed or length
        axes = ([axis if isinstance(axis, int) else tokens for axis in output.shape[1:]] for output in self._outputs)
        return max(1, ELEMENT_BYTES * sum(math.prod(sizes) for sizes in axes))

    # --- arrays -------------------------------------------------------------------------------------------------------

    def _feeds(self, rows: Sequence[Row]) -> Arrays:
        length = self._fixed or max(len(row.ids) for row in rows)
        ids = np.full((len(rows), length), self._pad_id, dtype=np.int64)
        mask = np.zeros((len(rows), length), dtype=np.int64)
        for at, row in enumerate(rows):
            ids[at, : len(row.ids)] = row.ids
            mask[at, : len(row.ids)] = 1
        made = {
            "input_ids": ids,
            ATTENTION_MASK: mask,
            "token_type_ids": np.zeros_like(ids),
            "position_ids": np.broadcast_to(np.arange(length), ids.shape),
        }
        wanted = (binding.wanted for binding in self.bindings)
        return {spec.name: np.ascontiguousarray(made[spec.name].astype(np.dtype(spec.dtype))) for spec in wanted}

    def _targets(self, rows: Sequence[Row]) -> Array | TokenTargets | None:
        numbers = np.array([row.example for row in rows], dtype=np.int64)
        if self.spec.task not in (Task.LANGUAGE_MODELING, Task.MULTIPLE_CHOICE):
            kept = numbers[: len(rows) // 2] if self.spec.paired else numbers
            return None if self._labels is None else np.asarray(self._labels[kept])
        tokens = np.full((len(rows), self._fixed or max(len(row.ids) for row in rows)), IGNORED, dtype=np.int64)
        for at, row in enumerate(rows):
            tokens[at, row.start - 1 : len(row.ids) - 1] = row.ids[row.start :]
        return TokenTargets(
            tokens=tokens,
            examples=numbers,
            choices=np.array([row.choice for row in rows], dtype=np.int64),
            characters=np.array([row.characters for row in rows], dtype=np.int64),
            right=np.array([row.right for row in rows], dtype=bool),
        )


def _longest(group: Group) -> int:
    return max(len(row.ids) for row in group)
