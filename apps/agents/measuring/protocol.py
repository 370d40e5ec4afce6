"""What passes to and from processes that measure: feeds as a file, a request as JSON, and lines of JSON back."""

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


def stored_feeds(feeds: Feeds, folder: Path) -> Path:
    """The file in `folder` that holds one batch.

    Texts come as objects, which would be pickled; every runtime takes numpy's own strings as well.
    """
    plain: Mapping[str, Any] = {
        name: array.astype(str) if array.dtype == object else array for name, array in feeds.items()
    }
    path = folder / "feeds.npz"
    np.savez(path, allow_pickle=False, **plain)
    return path
