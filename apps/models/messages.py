"""Sends the store's work to the workers. Without a broker it is sent later, because the rows record what is waiting."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db.models.functions import Now

from apps.models.models import DataSet, ModelVersion
from apps.outages import BROKER_AWAY
from apps.sending import Recipient

CHECKS_QUEUE = "checks"
"""Checks have their own queue, so that a member who waits for one does not wait behind training."""
INSPECT_VERSION = Recipient("inspect_version", CHECKS_QUEUE)
INSPECT_DATASET = Recipient("inspect_dataset", CHECKS_QUEUE)
COLLECT_STORE = Recipient("collect_store", "default")

logger = logging.getLogger(__name__)


def send_version(version_id: int, wait: timedelta | None = None) -> None:
    """Sends a version to the workers to be checked, after `wait`."""
    ModelVersion.objects.filter(pk=version_id).update(check_asked_at=Now())
    try:
        INSPECT_VERSION.send(version_id, delay_ms=_delay_ms(wait))
    except BROKER_AWAY:
        logger.exception("Version %s: the broker cannot be reached. The sweeper will send it.", version_id)


def send_dataset(dataset_id: int, wait: timedelta | None = None) -> None:
    """Sends a data set to the workers to be checked, after `wait`."""
    DataSet.objects.filter(pk=dataset_id).update(check_asked_at=Now())
    try:
        INSPECT_DATASET.send(dataset_id, delay_ms=_delay_ms(wait))
    except BROKER_AWAY:
        logger.exception("Data set %s: the broker cannot be reached. The sweeper will send it.", dataset_id)


def _delay_ms(wait: timedelta | None) -> int:
    return int(wait.total_seconds() * 1000) + 100 if wait else 0
