"""Messages to the workers: an id in, a function called."""

from __future__ import annotations

import dramatiq

from apps.models import inspection

TIME_LIMIT_MS = 35 * 60 * 1000
"""More than the child's own limit, which ends the work first and says why."""


@dramatiq.actor(queue_name="cpu", max_retries=3, min_backoff=5_000, time_limit=TIME_LIMIT_MS)
def inspect_version(version_id: int) -> None:
    inspection.inspect_version(version_id)


@dramatiq.actor(queue_name="cpu", max_retries=3, min_backoff=5_000, time_limit=TIME_LIMIT_MS)
def inspect_dataset(dataset_id: int) -> None:
    inspection.inspect_dataset(dataset_id)
