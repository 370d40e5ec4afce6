"""Applies techniques one after the other, as a session does, for the benchmarks of whole chains."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.datasets.loading import load_dataset
from apps.agents.measuring.engine import open_engine
from apps.agents.measuring.protocol import ModelFile
from apps.agents.techniques.base import Assignment, agent_for, spec_of


@dataclass
class Teller:
    """A `Context` that prints to standard error, and keeps the last value of each metric."""

    checkpoint: Path | None = None
    metrics: dict[str, float] = field(default_factory=dict)

    def progress(self, fraction: float, message: str, eta_s: float | None = None) -> None:
        print(f"  {fraction:4.0%} {message}", file=sys.stderr)

    def log(self, message: str, level: Literal["info", "warning", "error"] = "info") -> None:
        print(f"  {message}", file=sys.stderr)

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        self.metrics[name] = value

    def keep_checkpoint(self, file: Path) -> None:
        file.unlink()


@dataclass(frozen=True)
class Shop:
    """Where links are applied, on one data set."""

    folder: Path
    dataset: Path
    spec: DatasetSpec
    original: ModelFile
    """What techniques that read another model get for it."""
    seed: int = 0

    def apply(self, technique: str, model: Path, model_format: str, **parameters: Any) -> Path:
        """The artifact of one technique."""
        found, complete = spec_of(technique, parameters)
        work = Path(tempfile.mkdtemp(dir=self.folder, prefix=f"{technique}-"))
        (work / "out").mkdir()
        inputs = open_engine(model_format, model, work).summary.inputs
        assignment = Assignment(
            spec=found,
            parameters=complete,
            model=model,
            dataset=load_dataset(self.dataset, self.spec, inputs, self.seed, scratch=work),
            scratch=work,
            out=work / "out",
            seed=self.seed,
            format=model_format,
            further_inputs=dict.fromkeys(found.inputs, self.original),
        )
        started = time.monotonic()
        made = agent_for(found).run(assignment, Teller())
        print(f"{technique}: {time.monotonic() - started:.0f} s. {made.result.checks[1]}", flush=True)
        return made.artifact
