"""Actors: each takes an id and calls a function."""

from __future__ import annotations

from typing import Any

import dramatiq

from apps.models import collection, inspection
from apps.models.messages import COLLECT_STORE, INSPECT_DATASET, INSPECT_VERSION

TIME_LIMIT_MS = 35 * 60 * 1000
"""Longer than the child's own limit, which ends the work first and gives the reason."""
CHECK: dict[str, Any] = {"max_retries": 3, "min_backoff": 5_000, "time_limit": TIME_LIMIT_MS}
CHORE: dict[str, Any] = {"max_retries": 3, "time_limit": 5 * 60 * 1000}


@dramatiq.actor(**INSPECT_VERSION.declared, on_retry_exhausted="give_up_on_version", **CHECK)
def inspect_version(version_id: int) -> None:
    inspection.inspect_version(version_id)


@dramatiq.actor(**INSPECT_DATASET.declared, on_retry_exhausted="give_up_on_dataset", **CHECK)
def inspect_dataset(dataset_id: int) -> None:
    inspection.inspect_dataset(dataset_id)


@dramatiq.actor(queue_name="default", **CHORE)
def give_up_on_version(message: dict[str, Any], retries: dict[str, int]) -> None:
    inspection.give_up_on_version(message["args"][0])


@dramatiq.actor(queue_name="default", **CHORE)
def give_up_on_dataset(message: dict[str, Any], retries: dict[str, int]) -> None:
    inspection.give_up_on_dataset(message["args"][0])


@dramatiq.actor(**COLLECT_STORE.declared, **CHORE)
def collect_store() -> None:
    collection.collect()
