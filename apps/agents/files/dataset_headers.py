"""A data set's summary from its headers: array headers, folder names, table columns, text fields.

Does not read values and loads nothing. The sources in `datasets.loading` start with it; the full check
(`apps.agents.datasets.inspection`) reads the values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from apps.agents.contracts.dataset_spec import EXAMPLES_AXIS, PAIR_SUFFIXES, DatasetSpec, part_sizes
from apps.agents.contracts.errors.datasets import (
    ArrayLengths,
    DatasetEmpty,
    DatasetUnreadable,
    GroupsInvalid,
    GroupsMissing,
    InputUnfilled,
    LabelCount,
    LabelsMissing,
)
from apps.agents.contracts.reports.dataset import DatasetSummary, LabelNumbers, LabelSummary, Task, TextExcerpt
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.files.class_numbers import remarks_on
from apps.agents.files.image_folders import ImageFolders
from apps.agents.files.npz_headers import ArrayHeader
from apps.agents.files.text_files import TextFile

EXCERPTS = 5
"""Number of example texts in a summary."""
EXCERPT_CHARACTERS = 400


@dataclass(frozen=True)
class TableHeader:
    """The columns of a table with their types, the number of rows, and how they were read, in sentences."""

    columns: Mapping[str, TensorSpec]
    rows: int
    notes: tuple[str, ...] = ()


def summarize_arrays(headers: dict[str, ArrayHeader], spec: DatasetSpec, size_bytes: int) -> DatasetSummary:
    """The summary of the arrays. Every array has one entry per example along its first axis."""
    labels = headers.get(spec.label)
    for name in sorted(spec.shared_arrays - headers.keys()):
        raise InputUnfilled(wanted=name, reason=f"the file does not contain the array {name!r}", field="inputs")
    _check_group(spec, headers)
    apart = spec.set_apart | spec.shared_arrays
    inputs = [header for name, header in headers.items() if name not in apart]
    if not inputs:
        raise DatasetEmpty(reason=f"{spec.label!r} is the only array")
    for header in inputs:
        if not header.shape:
            raise DatasetUnreadable(kind="npz", reason=f"array {header.name!r} is a single number, not one per example")
    first = inputs[0]
    for header in inputs[1:]:
        if header.shape[0] != first.shape[0]:
            raise ArrayLengths(
                array=header.name, length=header.shape[0], other=first.name, expected=first.shape[0], field=header.name
            )
    if labels is None and spec.needs_labels:
        raise LabelsMissing(task=spec.task, label=spec.label, offered=", ".join(headers), field="label")
    if labels is not None and labels.shape[:1] != (first.shape[0],):
        raise LabelCount(
            labels=labels.shape[0] if labels.shape else 0, label=spec.label, examples=first.shape[0], field="label"
        )
    if spec.group and headers[spec.group].shape[:1] != (first.shape[0],):
        reason = f"it has the shape {list(headers[spec.group].shape)}, but there are {first.shape[0]:,} examples"
        raise GroupsInvalid(group=spec.group, reason=reason, field="group")
    if spec.pairs:
        _check_pairs(headers, spec)
    for one in spec.output_labels.values():
        if one.label in headers and headers[one.label].shape[:1] != (first.shape[0],):
            count = headers[one.label].shape[0] if headers[one.label].shape else 0
            raise LabelCount(labels=count, label=one.label, examples=first.shape[0], field="output_labels")
    summary = _summary(
        spec, first.shape[0], [header.spec for header in inputs], labels.spec if labels else None, (), size_bytes
    )
    return _with_output_labels(summary, {name: header.spec for name, header in headers.items()}, spec)


def _with_output_labels(
    summary: DatasetSummary, offered: Mapping[str, TensorSpec], spec: DatasetSpec
) -> DatasetSummary:
    """The summary with the labels of further outputs. Raises `LabelsMissing` about them."""
    found = {}
    for output, one in spec.output_labels.items():
        labels = offered.get(one.label)
        if labels is None:
            raise LabelsMissing(task=one.task, label=one.label, offered=", ".join(offered), field="output_labels")
        found[output] = LabelSummary(task=one.task, labels=labels, classes=one.classes)
    return summary.model_copy(update={"output_labels": found})


def _check_group(spec: DatasetSpec, offered: Iterable[str]) -> None:
    if spec.group is not None and spec.group not in offered:
        raise GroupsMissing(group=spec.group, offered=", ".join(offered), field="group")


def _check_pairs(headers: dict[str, ArrayHeader], spec: DatasetSpec) -> None:
    for name, header in headers.items():
        if name in spec.set_apart:
            continue
        stem, suffix = name[:-2], name[-2:]
        if suffix not in PAIR_SUFFIXES:
            raise DatasetUnreadable(kind="npz", reason=f"array {name!r} ends neither in _a nor in _b, as pairs do")
        other = headers.get(stem + ("_b" if suffix == "_a" else "_a"))
        if other is None:
            raise DatasetUnreadable(kind="npz", reason=f"array {name!r} lacks its partner")
        if (other.shape, other.dtype) != (header.shape, header.dtype):
            reason = f"{header.spec} and {other.spec} are a pair, so they must have the same shape and type"
            raise DatasetUnreadable(kind="npz", reason=reason)


def summarize_images(folders: ImageFolders, spec: DatasetSpec, size_bytes: int) -> DatasetSummary:
    """Pictures are offered as one input, `image`, in the shape that preprocessing produces."""
    preprocessing = spec.preprocessing
    image = TensorSpec(name="image", dtype=preprocessing.dtype, shape=(EXAMPLES_AXIS, *preprocessing.shape))
    labels = TensorSpec(name=spec.label, dtype="int64", shape=(EXAMPLES_AXIS,))
    summary = _summary(spec, len(folders.entries), [image], labels, folders.classes, size_bytes)
    return summary.model_copy(update={"notes": folders.notes})


def summarize_table(header: TableHeader, spec: DatasetSpec, size_bytes: int) -> DatasetSummary:
    """Named groups of columns become one input each. Without groups, each column is offered under its own name."""
    _check_group(spec, header.columns)
    features = {name: column for name, column in header.columns.items() if name not in spec.set_apart}
    if spec.needs_labels and spec.label not in header.columns:
        raise LabelsMissing(task=spec.task, label=spec.label, offered=", ".join(header.columns), field="label")
    if not features:
        raise DatasetEmpty(reason=f"{spec.label!r} is the only column")
    groups = groups_of(features, spec)
    inputs = [_group(name, columns, features, spec) for name, columns in groups.items()] or list(features.values())
    summary = _summary(spec, header.rows, inputs, header.columns.get(spec.label), (), size_bytes)
    return _with_output_labels(summary.model_copy(update={"notes": header.notes}), header.columns, spec)


def groups_of(features: Iterable[str], spec: DatasetSpec) -> dict[str, tuple[str, ...]]:
    """Which columns fill which input together: according to `columns`, else all of them if a shape is given."""
    if spec.shapes and not spec.columns:
        return {name: tuple(features) for name in spec.shapes}
    return dict(spec.columns)


def _group(name: str, columns: Sequence[str], features: Mapping[str, TensorSpec], spec: DatasetSpec) -> TensorSpec:
    """The columns combined to one input. Raises `DatasetUnreadable` with the column that does not fit the rest."""
    for column in columns:
        if column not in features:
            _refuse_column(f"input {name!r} needs the column {column!r}, which is not a feature column of the table")
    parts = [features[column] for column in columns]
    texts = [part.name for part in parts if part.dtype == "string"]
    if 0 < len(texts) < len(parts):
        _refuse_column(f"input {name!r} needs numbers, but {', '.join(map(repr, texts))} contains text")
    lists = [part for part in parts if len(part.shape) > 1]
    if lists and len(parts) > 1:
        _refuse_column(f"input {name!r} combines several columns, but {lists[0]} contains lists")
    shape: tuple[int | str | None, ...] = lists[0].shape[1:] if lists else (len(parts),)
    if given := spec.shapes.get(name):
        numbers = math.prod(axis for axis in shape if isinstance(axis, int))
        if math.prod(given) != numbers:
            wanted = f"{' × '.join(map(str, given))} has {math.prod(given)} numbers"
            _refuse_column(f"the shape {wanted}, but {numbers} would fill it ({', '.join(columns[:10])})", "shapes")
        shape = given
    return TensorSpec(name=name, dtype=widest([part.dtype for part in parts]), shape=(EXAMPLES_AXIS, *shape))


def _refuse_column(reason: str, field: str = "columns") -> NoReturn:
    raise DatasetUnreadable(kind="table", reason=reason, field=field)


def summarize_texts(file: TextFile, spec: DatasetSpec, size_bytes: int) -> DatasetSummary:
    """Each field of texts is one input. Tokens are not counted, because a model's tokenizer makes them."""
    inputs = [TensorSpec(name=name, dtype="string", shape=(EXAMPLES_AXIS,)) for name in file.fields]
    labels = None
    if file.examples and file.examples[0].label is not None:
        names = "string" if file.classes != spec.classes else "int64"
        dtype = "float64" if spec.task is Task.EMBEDDING else names
        labels = TensorSpec(name=spec.label_name, dtype=dtype, shape=(EXAMPLES_AXIS,))
    summary = _summary(spec, len(file.examples), inputs, labels, file.classes, size_bytes)
    numbers = _label_numbers(file) if labels and spec.task is Task.CLASSIFICATION else None
    remarks = remarks_on(numbers, file.classes) if numbers else ()
    found = {"characters": file.characters, "notes": (*remarks, *file.notes), "excerpts": _excerpts(file)}
    return summary.model_copy(update=found | {"label_numbers": numbers})


def _label_numbers(file: TextFile) -> LabelNumbers:
    found = {int(example.label or 0) for example in file.examples}
    return LabelNumbers(low=min(found), high=max(found), distinct=len(found))


def _excerpts(file: TextFile) -> tuple[TextExcerpt, ...]:
    return tuple(
        TextExcerpt(texts=tuple(_shortened(text) for text in example.texts), label=example.label)
        for example in file.examples[:EXCERPTS]
    )


def _shortened(text: str) -> str:
    return text if len(text) <= EXCERPT_CHARACTERS else f"{text[:EXCERPT_CHARACTERS]}…"


def widest(dtypes: Sequence[str]) -> str:
    """The type of one array of all these columns."""
    for dtype in ("string", "float64"):
        if dtype in dtypes:
            return dtype
    return "float64" if any(dtype.startswith("float") for dtype in dtypes) else "int64"


def _summary(
    spec: DatasetSpec,
    examples: int,
    inputs: Sequence[TensorSpec],
    labels: TensorSpec | None,
    classes: tuple[str, ...],
    size_bytes: int,
) -> DatasetSummary:
    if examples == 0:
        raise DatasetEmpty(reason="its arrays, folders or rows are empty")
    return DatasetSummary(
        kind=spec.kind,
        task=spec.task,
        examples=examples,
        training_examples=part_sizes(examples, spec.training_share).training,
        inputs=tuple(inputs),
        labels=labels,
        classes=classes or spec.classes,
        size_bytes=size_bytes,
    )
