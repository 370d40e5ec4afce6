"""Converts the labels in a file to class numbers: names, one-hot rows, booleans and whole numbers.

Decides everything that does not need a model. `files.class_numbers` decides how numbers map to a model's classes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.contracts.errors.datasets import ClassesMismatch, LabelsInvalid
from apps.agents.contracts.reports.dataset import DatasetSummary, LabelNumbers
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.files.class_numbers import UNCHANGED, Numbering, alphabetical_note, numbering, remarks_on

Array = NDArray[np.generic]
Ints = NDArray[np.int64]

MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "<na>"})
"""Spellings of a missing value, in lower case."""
_WHOLE = re.compile(r"[+-]?\d{1,18}(\.0*)?")


@dataclass(frozen=True)
class ClassLabels:
    """Labels of all examples as whole numbers.

    If `numbers` is `None`, they already are class numbers, and `classes` has the name of each in the file.
    """

    labels: Ints
    classes: tuple[str, ...]
    numbers: LabelNumbers | None
    notes: tuple[str, ...] = ()


def class_labels(found: Array, spec: DatasetSpec) -> ClassLabels:
    """Interpret classification labels. Raises `LabelsInvalid` and `ClassesMismatch` with the first invalid label."""
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1:
        return _one_hot(found, spec)
    if found.dtype.kind in "USO":
        return _names(found, spec)
    if found.dtype.kind == "b":
        note = "" if spec.classes else "The labels are booleans: False is class 0 and True is class 1."
        return ClassLabels(found.astype(np.int64), spec.classes or ("False", "True"), None, (note,) if note else ())
    return _numbers(found, spec)


def numbered(source: Ints, summary: DatasetSummary, output: TensorSpec | None) -> tuple[Ints, DatasetSummary, str]:
    """Labels as class numbers of `output`, the matching summary, and a note if they were renumbered."""
    how = numbering(summary, output)
    if how == UNCHANGED or summary.label_numbers is None:
        return source, summary, ""
    low, high = (_class(how, number) for number in (summary.label_numbers.low, summary.label_numbers.high))
    update = {
        "label_numbers": LabelNumbers(low=low, high=high, distinct=summary.label_numbers.distinct),
        "classes": summary.classes or tuple(str(how.label(number)) for number in range(high + 1)),
    }
    return (source - how.first) // how.step, summary.model_copy(update=update), _note(how, summary.label_numbers)


def _class(how: Numbering, label: int) -> int:
    return (label - how.first) // how.step


def _note(how: Numbering, found: LabelNumbers) -> str:
    if how.step > 1:
        return "The labels -1 and 1 are used as classes 0 and 1."
    return f"The labels {found.low} to {found.high} are used as classes {found.low - 1} to {found.high - 1}."


def _numbers(found: Array, spec: DatasetSpec) -> ClassLabels:
    labels = found.astype(np.int64) if found.dtype.kind in "iu" else _whole(found, spec)
    if spec.classes and (by_name := _by_name([str(number) for number in labels], spec.classes)) is not None:
        return ClassLabels(by_name, spec.classes, None)
    distinct = np.unique(labels)
    numbers = LabelNumbers(low=int(distinct[0]), high=int(distinct[-1]), distinct=len(distinct))
    return ClassLabels(labels, spec.classes, numbers, remarks_on(numbers, spec.classes))


def _whole(found: Array, spec: DatasetSpec) -> Ints:
    """Whole numbers that are stored as floating point."""
    values = found.astype(np.float64)
    odd = np.flatnonzero(~np.isfinite(values) | (values != np.floor(values)))
    if len(odd):
        _refuse(spec, f"{_place(spec, odd[0])} contains {found[odd[0]]}, but class numbers must be integers from 0")
    return values.astype(np.int64)


def _one_hot(found: Array, spec: DatasetSpec) -> ClassLabels:
    """The column of the 1 in each row."""
    if found.ndim != 2 or found.dtype.kind not in "biuf":
        shape = ", ".join(map(str, found.shape[1:]))
        _refuse(spec, f"each is {found.dtype}[{shape}], but must be a class number with a single axis or a one-hot row")
    ones = found == 1
    odd = np.flatnonzero((ones.sum(1) != 1) | ((found != 0) != ones).any(1))
    if len(odd):
        row = ", ".join(map(str, found[odd[0]][:8].tolist()))
        _refuse(
            spec,
            f"{_place(spec, odd[0])} is [{row}], neither one-hot (a single 1 among zeros) nor one class number with a "
            "single axis",
        )
    columns = found.shape[1]
    if spec.classes and len(spec.classes) != columns:
        raise ClassesMismatch(
            reason=f"the one-hot labels have {columns} columns, but {len(spec.classes)} classes are named"
        )
    classes = spec.classes or tuple(map(str, range(columns)))
    note = f"The labels are one-hot, with {columns} columns: the position of the 1 is the class number."
    return ClassLabels(ones.argmax(1).astype(np.int64), classes, None, (note,))


def checked_labels(labels: Array, spec: DatasetSpec) -> Array:
    """Labels in the form that their task reads: numbers. `class_labels` has already read those of a classification."""
    if labels.dtype.kind not in "iuf":
        reason = f"they are {'booleans' if labels.dtype.kind == 'b' else 'text'}, not numbers"
        raise LabelsInvalid(label=spec.label_name, task=spec.task, reason=reason, field="label")
    return labels


# --- names ------------------------------------------------------------------------------------------------------------


def _names(found: Array, spec: DatasetSpec) -> ClassLabels:
    """The member's classes in their order. Without them, numbers if all are numbers, else names from A to Z."""
    names = [(value.decode(errors="replace") if isinstance(value, bytes) else str(value)).strip() for value in found]
    if spec.classes:
        return _named(names, spec)
    for row, name in enumerate(names):
        if name.lower() in MISSING:
            _refuse(spec, f"{_place(spec, row)} has no label ({name!r})" if name else f"{_place(spec, row)} is empty")
    if all(_WHOLE.fullmatch(name) for name in set(names)):
        return _numbers(np.array([int(float(name)) for name in names]), spec)
    classes = tuple(sorted(set(names)))
    if len(classes) == len(names):
        _refuse(spec, f"every example has a different label, such as {names[0]!r}")
    number = {name: index for index, name in enumerate(classes)}
    return ClassLabels(
        np.array([number[name] for name in names], np.int64), classes, None, (alphabetical_note(classes),)
    )


def _named(names: list[str], spec: DatasetSpec) -> ClassLabels:
    labels = _by_name(names, spec.classes)
    if labels is not None:
        return ClassLabels(labels, spec.classes, None)
    row = next(row for row, name in enumerate(names) if name not in spec.classes)
    if all(_WHOLE.fullmatch(name) for name in set(names)):
        return _numbers(np.array([int(float(name)) for name in names]), spec)
    reason = f"{_place(spec, row)} has {names[row]!r}, which is not among the classes ({', '.join(spec.classes)})"
    raise ClassesMismatch(reason=reason, field="classes")


def _by_name(names: Sequence[str], classes: Sequence[str]) -> Ints | None:
    number = {name: index for index, name in enumerate(classes)}
    return np.array([number[name] for name in names], np.int64) if number.keys() >= set(names) else None


def _place(spec: DatasetSpec, row: int) -> str:
    """Table rows are counted from 1, as people do; examples of arrays from 0, as programs do."""
    return f"row {row + 1}" if spec.kind is DatasetKind.TABLE else f"example {row}"


def _refuse(spec: DatasetSpec, reason: str) -> NoReturn:
    raise LabelsInvalid(label=spec.label_name, task=spec.task, reason=reason, field="label")
