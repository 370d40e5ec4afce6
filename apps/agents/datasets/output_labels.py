"""The labels of further outputs: each is read like the labels of the judged output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.dataset import DatasetSummary, Task
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.datasets.dataset_fit import judged_output
from apps.agents.datasets.labels import checked_labels, class_labels, numbered
from apps.errors import UserError

Array = NDArray[np.generic]


@contextmanager
def about_further_outputs() -> Iterator[None]:
    """Errors about labels name the field of the further outputs."""
    try:
        yield
    except UserError as error:
        error.field = "output_labels"
        raise


def read_output_labels(
    found: Mapping[str, Array], spec: DatasetSpec, summary: DatasetSummary
) -> tuple[dict[str, Array], DatasetSummary]:
    """The labels by output as numbers, and the summary with what is known of them. Classes are whole numbers.

    Raises `LabelsInvalid` and `ClassesMismatch`.
    """
    labels: dict[str, Array] = {}
    with about_further_outputs():
        for output, array in found.items():
            own = spec.of_output(output)
            if own.task is not Task.CLASSIFICATION:
                labels[output] = checked_labels(array, own)
                continue
            read = class_labels(array, own)
            labels[output] = read.labels
            about = summary.of_output(output).model_copy(
                update={"classes": read.classes, "label_numbers": read.numbers}
            )
            notes = tuple(f"Labels of the output {output}: {note}" for note in read.notes)
            summary = summary.with_output(output, about).model_copy(update={"notes": (*summary.notes, *notes)})
    return labels, summary


def number_output_labels(
    labels: Mapping[str, Array], spec: DatasetSpec, summary: DatasetSummary, outputs: Sequence[TensorSpec]
) -> tuple[dict[str, Array], DatasetSummary, tuple[str, ...]]:
    """Labels as class numbers of the model's `outputs`, the matching summary, and notes on what was renumbered.

    Raises `OutputUnknown` and `LabelsInvalid`.
    """
    bound, notes = dict(labels), []
    with about_further_outputs():
        for output, array in labels.items():
            if spec.output_labels[output].task is not Task.CLASSIFICATION:
                continue
            wanted = judged_output(outputs, output) if outputs else None
            bound[output], about, note = numbered(array.astype(np.int64), summary.of_output(output), wanted)
            summary = summary.with_output(output, about)
            notes += [f"Output {output}: {note}"] if note else []
    return bound, summary, tuple(notes)
