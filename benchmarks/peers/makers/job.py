"""What a maker is asked to make, and how it says what it has made. Imports nothing that must be installed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

MADE = "made.json"
"""In the job's folder, once something has been made."""


@dataclass(frozen=True)
class Job:
    """Paths are absolute. `options` are the maker's own."""

    model: str
    format: str
    calibration: str
    """An npz with an array for each input, examples on the first axis; empty for a data set of texts."""
    given: str
    """The whole data set without the examples that are held back for measuring."""
    spec: dict[str, Any]
    """Of the data set."""
    out: str
    """An empty folder for everything that is written."""
    minutes: float
    """For makers that search."""
    transformer: bool
    """Whether the model is one, for tools that want to know."""
    options: dict[str, Any]

    @property
    def folder(self) -> Path:
        return Path(self.out)

    def write(self) -> Path:
        path = self.folder / "job.json"
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path

    def feeds(self) -> Iterator[dict[str, Any]]:
        """The calibration examples, one at a time. Exits if there are none in this form."""
        if not self.calibration:
            raise SystemExit("It calibrates with arrays, and the data set has texts.")
        import numpy as np

        with np.load(self.calibration) as stored:
            arrays = {name: stored[name] for name in stored.files}
        for row in range(len(next(iter(arrays.values())))):
            yield {name: array[row : row + 1] for name, array in arrays.items()}

    def done(self, artifact: Path, model_format: str, *distributions: str, what: str = "") -> None:
        """Says what was made, with which releases, and in `what` anything that the table should add."""
        releases = {name: version(name) for name in distributions}
        body = {"artifact": str(artifact), "format": model_format, "releases": releases, "what": what}
        (self.folder / MADE).write_text(json.dumps(body), encoding="utf-8")


def asked() -> Job:
    """The job that the command line names."""
    return Job(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
