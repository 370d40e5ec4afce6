"""Texts as stored in the file, for the full check and for the data set that a model's tokenizer encodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.dataset import DatasetSummary, Task
from apps.agents.files.dataset_headers import summarize_texts
from apps.agents.files.text_files import read_texts
from apps.agents.files.text_lines import Example

Array = NDArray[np.generic]


class TextSource:
    """A file of texts, read into memory. `rows` returns `examples` as arrays of strings."""

    def __init__(self, path: Path, spec: DatasetSpec) -> None:
        file = read_texts(path, spec)
        self.examples: tuple[Example, ...] = file.examples
        self.summary: DatasetSummary = summarize_texts(file, spec, path.stat().st_size)
        self.labels: Array | None = None
        self.groups: Array | None = None
        self.output_labels: dict[str, Array] = {}
        if self.summary.labels is not None:
            labels = [example.label for example in file.examples]
            self.labels = np.asarray(labels, dtype=np.float64 if spec.task is Task.EMBEDDING else np.int64)

    def rows(self, indices: NDArray[np.int64]) -> dict[str, Array]:
        """The texts by field. If an example has more texts than fields, the last field contains the rest."""
        names = [spec.name for spec in self.summary.inputs]
        arrays = {name: np.empty(len(indices), dtype=object) for name in names}
        for row, index in enumerate(indices):
            texts = self.examples[index].texts
            for place, name in enumerate(names):
                last = place == len(names) - 1 and len(texts) > len(names)
                arrays[name][row] = texts[place:] if last else texts[place]
        return dict(arrays)
