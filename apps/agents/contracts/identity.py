"""What decides the result of a step, as one key: two steps with the same key do the same work.

The library versions and the machine are not part of it: they are compared with those of the result
(`apps.optimization.taking_over`).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.state import StepKind
from apps.agents.contracts.values import Value

REVISION = 1
"""To be raised if the same request makes or measures something else than before: a technique works differently, say."""


class InputFile(Value):
    sha256: str
    format: str


_ADDED_LATER = ("unit", "ctc_blank", "output_labels")
"""Fields of the data set's reading that count once they are set, so that keys from before they were there stay."""


class Work(Value):
    """All that decides the result of a step that makes or measures something.

    `dataset` with `reading` and `seed` decide which examples calibrate, train and measure.
    """

    kind: StepKind
    technique: str | None = None
    parameters: dict[str, Any]
    """Complete, with the defaults: a default may change."""
    inputs: dict[str, InputFile]
    """The files that it reads, by role."""
    signature: str | None
    """The function of the original that is used."""
    dataset: str
    """SHA-256."""
    reading: DatasetSpec
    seed: int | None
    """`None` where it decides nothing."""
    threads: int
    target: Target | None = None
    """Where it measures; `None` if it measures nothing."""
    part: Part | None = None
    """The examples on which it measures a candidate."""

    @property
    def identity(self) -> str:
        """SHA-256 of all of this, as 64 hexadecimal digits."""
        content = {"revision": REVISION, **self.model_dump(mode="json")}
        for name in _ADDED_LATER:
            if getattr(self.reading, name) in (None, {}):
                content["reading"].pop(name)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
