"""Tidying the store up: uploads that were left, files that nothing refers to, checks whose message was lost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from apps.models import messages
from apps.models.inspection import remove_abandoned_scratch
from apps.models.models import DataSet, ModelVersion
from apps.models.storage import GRACE, collect_unreferenced
from apps.models.uploads import expire_uploads

LOST_AFTER = timedelta(minutes=45)
"""No message lives for so long: Redis was emptied, or the worker's machine is gone."""


@dataclass(frozen=True)
class Collected:
    """How many of each there were."""

    uploads: int
    blobs: int
    checks_sent: int


def collect(*, grace: timedelta = GRACE) -> Collected:
    """One round. Any number of processes may do it at once."""
    remove_abandoned_scratch()
    return Collected(
        uploads=expire_uploads(),
        blobs=collect_unreferenced(grace=grace),
        checks_sent=_send_lost_checks(),
    )


def _send_lost_checks() -> int:
    before = timezone.now() - LOST_AFTER
    versions = list(ModelVersion.objects.pending().filter(created_at__lt=before).values_list("pk", flat=True))
    datasets = list(DataSet.objects.pending().filter(created_at__lt=before).values_list("pk", flat=True))
    for pk in versions:
        messages.send_version(pk)
    for pk in datasets:
        messages.send_dataset(pk)
    return len(versions) + len(datasets)
