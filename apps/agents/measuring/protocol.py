"""What passes between the timer and the fresh processes it starts: a request as JSON, and lines of JSON back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.values import Value
from apps.agents.measuring.effort import Effort
from apps.agents.measuring.record import Record


class ModelFile(Value):
    """A model that a process of its own can open: arguments of `apps.agents.measuring.engine.open_engine`."""

    format: str
    path: Path
    signature: str | None = None


class Request(Value):
    original: ModelFile
    candidate: ModelFile
    feeds: Path
    """An `.npz` of one batch."""
    scratch: Path
    target: Target
    effort: Effort
    seed: int
    """Draws the order in which the contenders are loaded and timed."""


class Step(Value):
    type: Literal["step"] = "step"
    fraction: float
    eta_s: float | None


class Result(Value):
    type: Literal["result"] = "result"
    record: Record


MESSAGE: TypeAdapter[Step | Result] = TypeAdapter(Annotated[Step | Result, Field(discriminator="type")])
