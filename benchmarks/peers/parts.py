"""Divides a data set before anyone sees it: `python -m benchmarks.peers.parts REQUEST.json`.

Lathe's own split, with its seed. The test part is held back: it is in no file that a peer or a session gets. From
`given` a session takes its own parts, for calibration, validation and test. The peers calibrate on the first examples
of the calibration part.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.contracts.values import Value
from apps.agents.datasets.loading import Dataset, load_dataset
from apps.agents.measuring.engine import open_engine
from benchmarks.own_portal import SEED

SHARE = 0.3
"""Of the examples, that are given besides those of the calibration and the validation part."""
CALIBRATION = 300
"""What the peers get at most: NNCF's default."""


class Request(Value):
    model: Path
    format: str
    data: Path
    spec: DatasetSpec
    folder: Path
    """Where the parts are written."""

    @property
    def given(self) -> Path:
        return self.folder / f"given{self.data.suffix}"

    @property
    def calibration(self) -> Path | None:
        """`None` for texts, which become arrays only with a tokenizer."""
        return None if self.spec.kind is DatasetKind.TEXT else self.folder / "calibration.npz"


def whole(model: Path, model_format: str, data: Path, spec: DatasetSpec, scratch: Path) -> Dataset:
    """All examples, divided: the test part is the one that is held back."""
    engine = open_engine(model_format, model, scratch)
    divided = spec.model_copy(update={"training_share": SHARE})
    summary = engine.summary
    return load_dataset(
        data, divided, summary.inputs, SEED, scratch=scratch, encoder=engine.encoder, outputs=summary.outputs
    )


def divide(request: Request) -> None:
    dataset = whole(request.model, request.format, request.data, request.spec, request.folder)
    kept = np.ones(dataset.summary.examples, bool)
    kept[dataset.evaluation_indices] = False
    if request.calibration is None:
        write_lines(request.data, request.given, kept)
        return
    write_arrays(request.data, request.given, kept)
    batches = list(dataset.calibration(CALIBRATION))
    arrays: dict[str, Any] = {name: np.concatenate([one[name] for one in batches]) for name in batches[0]}
    np.savez(request.calibration, **arrays)


def write_arrays(source: Path, target: Path, kept: np.ndarray) -> None:
    """The examples of an npz that are `kept`."""
    with np.load(source) as stored:
        np.savez_compressed(target, **{name: stored[name][kept] for name in stored.files})


def write_lines(source: Path, target: Path, kept: np.ndarray) -> None:
    """The lines of a jsonl that are `kept`."""
    lines = [line for line in source.read_text(encoding="utf-8").splitlines() if line.strip()]
    chosen = [line for line, keep in zip(lines, kept, strict=True) if keep]
    target.write_text("\n".join(chosen) + "\n", encoding="utf-8")


if __name__ == "__main__":
    divide(Request.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8")))
