"""The present state of the store, of its disk and of checks, as metrics."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.core.files.storage import FileSystemStorage, default_storage
from django.db.models import Count, Min, Sum
from django.db.models.functions import Coalesce
from prometheus_client.core import GaugeMetricFamily, Metric

from apps.models import clock
from apps.models.models import Blob, DataSet, InspectionStatus, ModelVersion, Upload

STORE_USE_FOR_S = 60
"""How long the sum over all files of the store is kept, which all web processes share."""


def metrics() -> Iterator[Metric]:
    now = clock.now()
    yield from _checks(now)
    yield from _uploads()
    yield from _store()


def _checks(now: datetime) -> Iterator[Metric]:
    pending = GaugeMetricFamily("lathe_checks_pending", "Files that wait for their check.", labels=["kind"])
    age = GaugeMetricFamily(
        "lathe_checks_oldest_age_seconds",
        "Seconds since the file that has waited longest for its check arrived; 0 if none waits.",
        labels=["kind"],
    )
    for kind, rows in (("model", ModelVersion.objects.all()), ("dataset", DataSet.objects.all())):
        waiting = rows.filter(status=InspectionStatus.PENDING).order_by()
        found = waiting.aggregate(files=Count("pk"), since=Min(Coalesce("check_asked_at", "created_at")))
        pending.add_metric([kind], found["files"])
        age.add_metric([kind], (now - found["since"]).total_seconds() if found["since"] else 0)
    yield pending
    yield age


def _uploads() -> Iterator[Metric]:
    found = Upload.objects.filter(blob=None).aggregate(uploads=Count("pk"), received=Sum("received_bytes"))
    yield GaugeMetricFamily("lathe_uploads_open", "Uploads of which chunks are missing.", value=found["uploads"])
    yield GaugeMetricFamily(
        "lathe_uploads_open_bytes", "Bytes of incomplete uploads that have arrived.", value=found["received"] or 0
    )


def _store() -> Iterator[Metric]:
    use: Any = cache.get_or_set("metrics.store", _store_use, STORE_USE_FOR_S)
    files, size_bytes = use
    yield GaugeMetricFamily("lathe_store_files", "Files in the store.", value=files)
    yield GaugeMetricFamily("lathe_store_bytes", "Bytes of all files in the store.", value=size_bytes)
    free = GaugeMetricFamily(
        "lathe_disk_free_bytes", "Free bytes of the disks that this web process uses.", labels=["folder"]
    )
    size = GaugeMetricFamily("lathe_disk_bytes", "Size of the disks that this web process uses.", labels=["folder"])
    for name, folder in folders():
        with suppress(OSError):  # the folder of a store that nobody has used does not exist
            room = shutil.disk_usage(folder)
            free.add_metric([name], room.free)
            size.add_metric([name], room.total)
    yield free
    yield size


def _store_use() -> list[int]:
    """The number of files, and their bytes: by the database, which is quicker than the store and costs nothing."""
    found = Blob.objects.aggregate(files=Count("pk"), size=Sum("size_bytes"))
    return [found["files"], found["size"] or 0]


def folders() -> Iterator[tuple[str, Path]]:
    """The folders of this machine that Lathe writes to. A bucket has none."""
    yield "var", Path(settings.LATHE.var_dir)
    if isinstance(default_storage, FileSystemStorage):
        yield "store", Path(default_storage.location)
