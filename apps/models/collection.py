"""Cleans up the store: expired uploads, unreferenced files, and checks whose message was lost."""

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
"""A message this old is lost: Redis was emptied, or the worker's machine is gone."""


@dataclass(frozen=True)
class Collected:
    """The number of each."""

    uploads: int
    blobs: int
    checks_sent: int


def collect(*, grace: timedelta = GRACE) -> Collected:
    """One round of cleanup. Any number of processes may run it at the same time."""
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
