"""The files of every job that runs a model: the session's original, its data set, and the job's model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from apps.agents.contracts.dataset_spec import DatasetKind
from apps.agents.contracts.job import Job
from apps.agents.contracts.job_arguments import ModelArguments
from apps.agents.contracts.reports.model import Interface
from apps.agents.contracts.text import TextEncoder
from apps.agents.datasets.loading import Dataset, load_dataset
from apps.agents.measuring.engine import Engine, open_engine
from apps.agents.measuring.protocol import ModelFile


@dataclass(frozen=True)
class Material:
    """The inputs `original`, `dataset` and `model`. If only one of `original` and `model` is given, it is both.

    `arguments` contains their formats and how the data set is read.
    """

    job: Job
    arguments: ModelArguments

    @cached_property
    def scratch(self) -> Path:
        """A folder for unpacked and intermediate files."""
        folder = self.job.scratch / "work"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def model(self) -> Path:
        return self.job.inputs.get("model") or self.job.inputs["original"]

    @property
    def is_original(self) -> bool:
        """Whether the job's model is the session's original itself."""
        return self.model == self._original

    @property
    def format(self) -> str:
        """The format of the job's model."""
        return self.arguments.format

    @property
    def signature(self) -> str | None:
        """The function to use, if the model is an upload: the original itself, or a version compared with it. Artifacts
        have only one."""
        return self.arguments.signature if self.is_original else self.arguments.own_signature

    @property
    def file(self) -> ModelFile:
        """The job's model, for a separate process."""
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
        """Opened when it is first asked for: its libraries take seconds to load."""
        return self.open(self.original_file)

    def open(self, file: ModelFile) -> Engine:
        """The engine of `file`."""
        return open_engine(file.format, file.path, self.scratch, file.signature)

    @property
    def _original(self) -> Path:
        return self.job.inputs.get("original") or self.model

    @cached_property
    def interface(self) -> Interface:
        """What the original takes and gives. The original is opened only where the job does not say."""
        return self.arguments.original_interface or self.original.summary.interface

    @cached_property
    def encoder(self) -> TextEncoder | None:
        """The original's tokenizer, where the data set is of texts. For other data the original stays closed."""
        return self.original.encoder if self.arguments.dataset.kind is DatasetKind.TEXT else None

    @cached_property
    def dataset(self) -> Dataset:
        """The data set in the form that the original takes. Artifacts have the same inputs, but may lack the
        tokenizer."""
        return load_dataset(
            self.job.inputs["dataset"],
            self.arguments.dataset,
            self.interface.inputs,
            self.job.seed,
            scratch=self.scratch,
            encoder=self.encoder,
            outputs=self.interface.outputs,
        )
