"""The data exchanged with measuring processes: feeds as a file, a request as JSON, and lines of JSON in return."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, TypeAdapter

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.values import Value
from apps.agents.measuring.effort import Effort
from apps.agents.measuring.engine import Feeds
from apps.agents.measuring.record import Record


class ModelFile(Value):
    """A model that a separate process can open: the arguments of `apps.agents.measuring.engine.open_engine`."""

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
    """Seed for the order in which the contenders are loaded and timed."""


class Step(Value):
    type: Literal["step"] = "step"
    fraction: float
    eta_s: float | None


class Result(Value):
    type: Literal["result"] = "result"
    record: Record


MESSAGE: TypeAdapter[Step | Result] = TypeAdapter(Annotated[Step | Result, Field(discriminator="type")])


def stored_feeds(feeds: Feeds, folder: Path) -> Path:
    """The file in `folder` with one batch.

    Object arrays of text would be pickled, so they are stored as numpy strings, which every runtime accepts.
    """
    plain: Mapping[str, Any] = {
        name: array.astype(str) if array.dtype == object else array for name, array in feeds.items()
    }
    path = folder / "feeds.npz"
    np.savez(path, allow_pickle=False, **plain)
    return path
