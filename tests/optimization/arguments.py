"""What the handler of a step would be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apps.optimization import jobs
from apps.optimization.models import SessionStep


def arguments_of(step: SessionStep) -> dict[str, Any]:
    return jobs.job_of(step, Path("unused"), {}).arguments
