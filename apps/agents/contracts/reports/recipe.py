"""How an artifact was made, in enough detail to make it again: the `recipe.json` of a package.

`apps.optimization.recipe` writes it for a session, and `apps.agents.packaging.reproducing` follows it.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.machine import Machine
from apps.agents.contracts.values import Value


class _Record(Value):
    """Part of a recipe. Fields that a newer version added are ignored."""

    model_config = ConfigDict(extra="ignore")


class FileRecord(_Record):
    """A file, identified by its contents."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size_bytes: int
    filename: str = ""


class OriginalRecord(FileRecord):
    """The model that a session optimized."""

    format: str
    signature: str | None = None
    """The function that the session optimized, if the model has several."""


class StudentRecord(FileRecord):
    """The model that a member gave the session to be trained."""

    format: str


class DatasetRecord(_Record):
    """The data set. `sha256`, `spec` and the seed determine which of its examples calibrated and which evaluated."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    spec: DatasetSpec
    name: str = ""
    filename: str = ""


class RecipeStep(_Record):
    """One technique with all its parameters, the library versions that it ran with, and the file that it made."""

    technique: str
    parameters: dict[str, Any]
    libraries: dict[str, str] = Field(default_factory=dict)
    seed: int = 0
    batch_divisor: int = 1
    made: FileRecord | None = None
    key: str = ""
    inputs: dict[str, str] = Field(default_factory=dict)
    """Inputs that are not the previous step's artifact: keys of earlier steps, or `ORIGINAL` or `STUDENT`, by role."""


class Recipe(_Record):
    """`steps` run in order: the first on the original, each later one on the previous step's artifact.

    In version 2, a step may name its `inputs` instead. A reader for version 1 refuses such a recipe.
    """

    recipe_version: Literal[1, 2] = 1
    session: str = ""
    seed: int
    original: OriginalRecord
    student: StudentRecord | None = None
    """If a step reads it."""
    dataset: DatasetRecord
    steps: tuple[RecipeStep, ...]
    artifact: FileRecord | None
    """The last step's artifact; `None` if the original stands."""
    machine: Machine | None = None
    criteria: dict[str, Any] = Field(default_factory=dict)
    """The session's criteria."""
    edits: dict[str, Any] = Field(default_factory=dict)
    """What a member had changed about the session's plan, for people who read the file. The steps contain it."""
    verdict: dict[str, Any] | None = None
    """The session's verdict, for people who read the file."""

    @property
    def threads_used(self) -> int:
        """The number of threads of every step. Sums in float depend on how they are split."""
        return int(self.criteria.get("target", {}).get("threads", 1))
