"""What every job that runs a model starts from: the session's original, its data set, and the model at hand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from apps.agents.contracts.job import Job
from apps.agents.contracts.job_arguments import ModelArguments
from apps.agents.datasets.loading import Dataset, load_dataset
from apps.agents.measuring.engine import Engine, open_engine
from apps.agents.measuring.protocol import ModelFile


@dataclass(frozen=True)
class Material:
    """Inputs: `original`, `dataset`, and `model` where that is another one; without an `original` the model is it.

    `arguments` say what they are and how the data set is read.
    """

    job: Job
    arguments: ModelArguments

    @cached_property
    def scratch(self) -> Path:
        """A folder for what has to be unpacked or kept in between."""
        folder = self.job.scratch / "work"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def model(self) -> Path:
        return self.job.inputs.get("model") or self.job.inputs["original"]

    @property
    def is_original(self) -> bool:
        """Whether the model at hand is the session's original itself."""
        return self.model == self._original

    @property
    def format(self) -> str:
        """The model's."""
        return self.arguments.format

    @property
    def signature(self) -> str | None:
        """The original's function where the model is the original itself; what was made of it has one only."""
        return self.arguments.signature if self.is_original else None

    @property
    def file(self) -> ModelFile:
        """The model at hand, for a process of its own."""
        return ModelFile(format=self.format, path=self.model, signature=self.signature)

    @property
    def original_file(self) -> ModelFile:
        chosen = self.arguments.signature
        return ModelFile(format=self.arguments.original_format, path=self._original, signature=chosen)

    def further(self, role: str, model_format: str) -> ModelFile:
        """The model of another role, such as `teacher`."""
        path = self.job.inputs[role]
        signature = self.arguments.signature if path == self._original else None
        return ModelFile(format=model_format, path=path, signature=signature)

    @cached_property
    def original(self) -> Engine:
        return self.open(self.original_file)

    def open(self, file: ModelFile) -> Engine:
        """The engine of `file`."""
        return open_engine(file.format, file.path, self.scratch, file.signature)

    @property
    def _original(self) -> Path:
        return self.job.inputs.get("original") or self.model

    @cached_property
    def dataset(self) -> Dataset:
        """Read as the original takes it: what was made of it has its inputs, and no tokenizer perhaps."""
        return load_dataset(
            self.job.inputs["dataset"],
            self.arguments.dataset,
            self.original.summary.inputs,
            self.job.seed,
            scratch=self.scratch,
            encoder=self.original.encoder,
            outputs=self.original.summary.outputs,
        )
