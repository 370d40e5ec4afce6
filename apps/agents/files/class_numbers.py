"""Which class of the model a number in the data set's file means. The check and the loader both use this module.

Numbers from 0 are class numbers already. Two other numberings are accepted if they are unambiguous: -1 and 1 for two
classes, and 1 to n for n classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apps.agents.contracts.errors.datasets import LabelsInvalid
from apps.agents.contracts.reports.dataset import DatasetSummary, LabelNumbers, Task
from apps.agents.contracts.reports.model import TensorSpec

SHOWN_NAMES = 10


@dataclass(frozen=True)
class Numbering:
    """The class of a label is `(label - first) // step`."""

    first: int = 0
    step: int = 1

    def label(self, number: int) -> int:
        """The label in the file for a class."""
        return self.first + self.step * number


UNCHANGED = Numbering()
SIGNS = Numbering(first=-1, step=2)
FROM_ONE = Numbering(first=1)


def class_count(output: TensorSpec) -> int | None:
    """How many classes an output `[batch, classes]` distinguishes; two for a single score; `None` if unknown."""
    rest = [axis for axis in output.shape[1:] if axis != 1]
    if not rest:
        return None if _is_the_label(output) else 2
    return rest[0] if len(rest) == 1 and isinstance(rest[0], int) else None


def numbering(dataset: DatasetSummary, output: TensorSpec | None = None) -> Numbering:
    """How the numbers in a classification file map to the classes of the model's judged `output`.

    Without an `output`, only the named classes are known. Raises `LabelsInvalid` for numbers that are not classes of
    the model.
    """
    found = dataset.label_numbers
    if found is None or (output is not None and _is_the_label(output)):
        return UNCHANGED
    count = _classes(dataset, output)
    if are_signs(found):
        if count not in (2, None):
            _refuse(dataset, f"they are -1 and 1, but the model has {count} classes")
        return SIGNS
    if found.low < 0:
        _refuse(dataset, f"the smallest is {found.low}, but class numbers begin at 0")
    if count is None:
        return UNCHANGED
    if found.low >= 1 and found.high == count:
        return FROM_ONE
    if found.high >= count:
        who = f"{count} classes are named" if dataset.classes else f"the model has {count}"
        which = f"0 to {count - 1}, or 1 to {count}; if the numbers are different, name the classes by their numbers"
        _refuse(dataset, f"the largest is {found.high}, but {who} ({which})")
    return UNCHANGED


def are_signs(found: LabelNumbers) -> bool:
    return (found.low, found.high, found.distinct) == (-1, 1, 2)


def remarks_on(found: LabelNumbers, classes: Sequence[str]) -> tuple[str, ...]:
    """Notes on numbers that do not begin at 0, before any model is known."""
    if are_signs(found):
        return ("The labels are -1 and 1. They are used as classes 0 and 1.",)
    if found.low != 1 or found.distinct == 1 or classes:
        return ()
    return (
        f"The labels are numbers from 1 to {found.high}: for a model with {found.high} classes they are used as "
        "classes "
        f"0 to {found.high - 1}, for a larger model without change.",
    )


def alphabetical_note(classes: Sequence[str]) -> str:
    """Which class each name in the file gets if the member has not set an order."""
    shown = ", ".join(classes[:SHOWN_NAMES]) + (", …" if len(classes) > SHOWN_NAMES else "")
    return (
        f"The labels are names: in alphabetical order ({shown}) they are classes 0 to {len(classes) - 1}. If the "
        "model's output has another order, name the classes in that order."
    )


def _classes(dataset: DatasetSummary, output: TensorSpec | None) -> int | None:
    if dataset.classes:
        return len(dataset.classes)
    return None if output is None else class_count(output)


def _is_the_label(output: TensorSpec) -> bool:
    """Whether the model outputs a label of its own training data, a number or a name, instead of scores."""
    return all(axis == 1 for axis in output.shape[1:]) and output.dtype.startswith(("int", "uint", "string"))


def _refuse(dataset: DatasetSummary, reason: str) -> None:
    label = dataset.labels.name if dataset.labels else "y"
    raise LabelsInvalid(label=label, task=Task.CLASSIFICATION, reason=reason, field="label")
