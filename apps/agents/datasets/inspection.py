"""The full check of a data set: every value is examined, in batches, before any session may use it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.dataset_spec import MINIMUM_EXAMPLES, DatasetKind, DatasetSpec
from apps.agents.contracts.errors.datasets import ImageBroken, ImagesBroken, TooFewExamples, ValuesNotFinite
from apps.agents.contracts.phrasing import named_few
from apps.agents.contracts.reports.dataset import DatasetSummary, Task
from apps.agents.contracts.values import Value
from apps.agents.datasets.images import ImageSource
from apps.agents.datasets.labels import checked_labels
from apps.agents.datasets.loading import Arrays, Source, open_source
from apps.agents.datasets.output_labels import about_further_outputs
from apps.agents.datasets.split import Indices, stratified_order
from apps.agents.files.class_numbers import numbering
from apps.errors import UserError

BATCH_ELEMENTS = 8_000_000
IMAGES_DECODED = 2000
"""If there are more pictures, only a sample of this size is decoded, spread evenly over the classes."""
FEW_OF_A_CLASS = 5

Array = NDArray[np.generic]
Watcher = Callable[[int, int], None]
"""Receives the number of examples done and their total."""


class DatasetInspection(Value):
    """The result of the full check. The rest of Lathe reads `summary`."""

    summary: DatasetSummary
    checked: int
    """Number of examples whose values were examined: all, or a sample of a very large set of pictures."""
    class_counts: dict[str, int] = {}
    duplicates: int = 0
    """Examples that are identical to an earlier one, to the last bit."""
    contradictions: int = 0
    """Duplicates with another label than the earlier example."""
    notes: tuple[str, ...] = ()


def inspect_examples(
    path: Path, spec: DatasetSpec, *, scratch: Path | None = None, watcher: Watcher | None = None
) -> DatasetInspection:
    """Read the whole data set at `path`. Raises the errors about data sets in `apps.agents.contracts.errors`."""
    source = open_source(path, spec, scratch=scratch)
    examples = source.summary.examples
    if examples < MINIMUM_EXAMPLES:
        raise TooFewExamples(examples=examples, minimum=MINIMUM_EXAMPLES)
    labels = source.labels
    if labels is not None and spec.needs_labels:
        labels = checked_labels(labels, spec)
    if labels is not None:
        _check_finite_labels(labels, spec)
    if labels is not None and spec.task is Task.CLASSIFICATION:
        labels = _class_numbers(labels, source.summary)
    with about_further_outputs():
        for output, further in source.output_labels.items():
            _check_finite_labels(further, spec.of_output(output))
            if source.summary.output_labels[output].label_numbers is not None:
                numbering(source.summary.of_output(output))
    chosen = _chosen(source, spec)
    try:
        duplicates, contradictions = _read_through(source, chosen, labels, watcher)
    except ImageBroken as error:
        raise _all_broken(source, chosen, error) from error
    counts = _class_counts(labels, source.summary) if spec.task is Task.CLASSIFICATION else {}
    return DatasetInspection(
        summary=source.summary,
        checked=len(chosen),
        class_counts=counts,
        duplicates=duplicates,
        contradictions=contradictions,
        notes=(
            *source.summary.notes,
            *(source.remarks if isinstance(source, ImageSource) else ()),
            *_notes(len(chosen), examples, duplicates, contradictions, counts),
        ),
    )


def _all_broken(source: Source, chosen: Indices, first: ImageBroken) -> UserError:
    """The error of a single broken picture, or how many are broken and which."""
    broken = source.broken(chosen) if isinstance(source, ImageSource) else []
    if len(broken) < 2:
        return first
    names = named_few([f"{error.context['name']} ({error.context['reason']})" for error in broken])
    return ImagesBroken(count=len(broken), checked=len(chosen), names=names, field="file")


def _chosen(source: Source, spec: DatasetSpec) -> Indices:
    examples = source.summary.examples
    if spec.kind is not DatasetKind.IMAGES or examples <= IMAGES_DECODED:
        return np.arange(examples, dtype=np.int64)
    classes = np.zeros(examples, np.int64) if source.labels is None else source.labels.astype(np.int64)
    return np.sort(stratified_order(classes, seed=0)[:IMAGES_DECODED])


def _check_finite_labels(labels: Array, spec: DatasetSpec) -> None:
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        bad = ~np.isfinite(labels.astype(np.float64))
        raise ValuesNotFinite(
            array=spec.label_name, count=int(bad.sum()), example=int(np.argwhere(bad)[0][0]), field="label"
        )


def _class_numbers(labels: Array, summary: DatasetSummary) -> Array:
    """Class numbers, as far as they are known without a model: if the classes are named."""
    how = numbering(summary)
    return (labels.astype(np.int64) - how.first) // how.step if summary.classes else labels


def _read_through(source: Source, chosen: Indices, labels: Array | None, watcher: Watcher | None) -> tuple[int, int]:
    """Examine every chosen example. Returns the number of duplicates, and of those with another label."""
    seen: dict[bytes, int] = {}
    duplicates = contradictions = 0
    step = _batch(source)
    for start in range(0, len(chosen), step):
        indices = chosen[start : start + step]
        rows = source.rows(indices)
        _check_finite(rows, indices)
        for row, index in enumerate(indices):
            first = seen.setdefault(_digest(rows, row), int(index))
            if first != index:
                duplicates += 1
                contradictions += labels is not None and not np.array_equal(labels[first], labels[index])
        if watcher:
            watcher(min(start + step, len(chosen)), len(chosen))
    return duplicates, contradictions


def _batch(source: Source) -> int:
    one = sum(array.size for array in source.rows(np.zeros(1, np.int64)).values())
    return max(1, min(4096, BATCH_ELEMENTS // max(1, one)))


def _check_finite(rows: Arrays, indices: Indices) -> None:
    for name, array in rows.items():
        if array.dtype.kind != "f":
            continue
        finite = np.isfinite(array.astype(np.float64, copy=False))
        if not finite.all():
            example = int(indices[np.argwhere(~finite)[0][0]])
            raise ValuesNotFinite(array=name, count=int((~finite).sum()), example=example, field=name)


def _digest(rows: Arrays, row: int) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(rows):
        value = rows[name][row]
        digest.update(repr(value).encode() if rows[name].dtype == object else np.ascontiguousarray(value).tobytes())
    return digest.digest()


def _class_counts(labels: Array | None, summary: DatasetSummary) -> dict[str, int]:
    numbers, counts = np.unique(np.asarray(labels, dtype=np.int64), return_counts=True)
    names = summary.classes
    return {
        names[number] if 0 <= number < len(names) else str(number): int(count)
        for number, count in zip(numbers, counts, strict=True)
    }


def _notes(
    checked: int, examples: int, duplicates: int, contradictions: int, counts: dict[str, int]
) -> tuple[str, ...]:
    notes = []
    if checked < examples:
        notes.append(f"{checked:,} of {examples:,} pictures were decoded, spread over all classes.")
    if duplicates:
        notes.append(
            f"{duplicates:,} examples are identical to an earlier one: calibration may see examples that are also "
            "measured, and intervals become too narrow. Remove them."
        )
    if contradictions:
        notes.append(f"{contradictions:,} of them have another label than the earlier example.")
    rare = [name for name, count in counts.items() if count < FEW_OF_A_CLASS]
    if rare:
        notes.append(f"{len(rare)} classes have fewer than {FEW_OF_A_CLASS} examples, such as {rare[0]!r}.")
    if len(counts) == 1:
        notes.append("All examples belong to one class: a meaningful accuracy cannot be measured.")
    return tuple(notes)
