"""How an artifact was made, exactly enough to make it again: the `recipe.json` of a package, written and read.

`apps.optimization.recipe` fills it from a session, `apps.agents.packaging.recipe` follows it.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.machine import Machine
from apps.agents.contracts.values import Value


class _Record(Value):
    """Part of a recipe. What a newer version adds is left alone."""

    model_config = ConfigDict(extra="ignore")


class FileRecord(_Record):
    """A file by its contents."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size_bytes: int
    filename: str = ""


class OriginalRecord(FileRecord):
    """The model that a session started from."""

    format: str
    signature: str | None = None
    """The function that the session was about, where the model offers several."""


class DatasetRecord(_Record):
    """The examples that calibrated, of which evaluation saw the others: `sha256`, `spec` and the seed fix which."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    spec: DatasetSpec
    name: str = ""
    filename: str = ""


class RecipeStep(_Record):
    """One technique with all its parameters, the versions that it ran with and what it made."""

    technique: str
    parameters: dict[str, Any]
    libraries: dict[str, str] = Field(default_factory=dict)
    seed: int = 0
    batch_divisor: int = 1
    made: FileRecord | None = None
    key: str = ""
    inputs: dict[str, str] = Field(default_factory=dict)
    """Where it is not what the step before made alone: keys of earlier steps, or `ORIGINAL`, by role."""


class Recipe(_Record):
    """`steps` run in order, each on what the one before has made, the first on the original.

    In version 2 a step may name its `inputs` instead; what was written for version 1 refuses it.
    """

    recipe_version: Literal[1, 2] = 1
    session: str = ""
    seed: int
    original: OriginalRecord
    dataset: DatasetRecord
    steps: tuple[RecipeStep, ...]
    artifact: FileRecord | None
    """What the last step made; `None` where the original stands."""
    machine: Machine | None = None
    criteria: dict[str, Any] = Field(default_factory=dict)
    """As the session had them."""
    verdict: dict[str, Any] | None = None
    """What the session found, for whoever reads the file."""

    @property
    def threads_used(self) -> int:
        """Threads of every step: sums in float depend on how they are split."""
        return int(self.criteria.get("target", {}).get("threads", 1))
