"""Checks that survive their worker: claimed with a lease, kept alive, and taken over when a worker falls silent."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import Error as DatabaseTrouble
from django.db import close_old_connections, connections, transaction
from django.db.models import Q

from apps.errors import UserError
from apps.models import clock, messages, tallies
from apps.models.errors import DataSetInspectionFailed, ModelInspectionFailed
from apps.models.models import DataSet, ModelVersion
from apps.models.timing import timing

logger = logging.getLogger(__name__)

AT_ONCE = 2
"""How many checks one worker process runs concurrently. None of them measures time."""
MOST_TRIES = 3
"""After this many attempts that killed the worker, the check is not repeated."""

Row = ModelVersion | DataSet
_KINDS: tuple[tuple[Any, Callable[..., None], type[UserError]], ...] = (
    (ModelVersion.objects, lambda *given: messages.send_version(*given), ModelInspectionFailed),
    (DataSet.objects, lambda *given: messages.send_dataset(*given), DataSetInspectionFailed),
)


@contextmanager
def kept_alive(row: Row) -> Iterator[None]:
    """Renews the lease of the check of `row` from a thread, during long operations that cannot renew it themselves."""
    done = threading.Event()
    patience = timing()

    def beat() -> None:
        while not done.wait(patience.heartbeat_s):
            try:
                row.renew_check(patience.lease)
            except DatabaseTrouble:
                logger.warning("The lease of the check of %s could not be renewed yet.", row, exc_info=True)
                close_old_connections()
        connections.close_all()

    thread = threading.Thread(target=beat, name=f"check-{row.pk}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class Lease:
    """The lease of the check of `row`. Calling `lost` regularly renews it."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self._patience = timing()
        self._renewed_at = time.monotonic()

    def lost(self) -> bool:
        """Whether another run has taken the check over."""
        if time.monotonic() - self._renewed_at < self._patience.heartbeat_s:
            return False
        self._renewed_at = time.monotonic()
        return not self._row.renew_check(self._patience.lease)


def put_off(row: Row) -> None:
    """Releases the check of `row` until the infrastructure has had time to recover. The attempt does not count."""
    wait = timing().backoff_of_infrastructure(row.check_attempts)
    if row.put_off_check(wait, counts=False):
        _send(row, wait)


def recover() -> int:
    """Restarts the checks whose worker fell silent. Returns their number."""
    return sum(_recover(row, ours()) for rows, _, ours in _KINDS for row in rows.abandoned())


def _recover(row: Row, ours: UserError) -> bool:
    tallies.CHECK_LEASES_LOST.count("model" if isinstance(row, ModelVersion) else "dataset")
    logger.warning("The worker that checked %s fell silent during attempt %d.", row, row.check_attempts)
    fell_silent = f"A worker fell silent during attempt {row.check_attempts} of the check."
    if row.check_attempts >= MOST_TRIES:
        with transaction.atomic():
            if row.refuse(ours.code, ours.message):
                row.record("check.worker_lost", reason=f"{fell_silent} It is not repeated.")
        return True
    with transaction.atomic():
        moved = row.put_off_check(stale=True)
        if moved:
            row.record("check.worker_lost", reason=f"{fell_silent} It will be repeated.")
    if moved:
        _send(row, None)
    return moved


def waiting_since(before: datetime) -> list[Row]:
    """The checks that no worker has taken since `before`."""
    asked = Q(check_asked_at__lt=before) | Q(check_asked_at=None, created_at__lt=before)
    return [row for rows, _, _ in _KINDS for row in rows.checkable().filter(asked)]


def repeat_messages(workers: int) -> int:
    """Sends again the messages that no worker took although one of the `workers` is idle. Returns their number."""
    if sum(rows.being_checked().count() for rows, _, _ in _KINDS) >= workers * AT_ONCE:
        return 0
    before = clock.after(-timedelta(seconds=timing().message_lost_s))
    long_ago = Q(check_asked_at=None) | Q(check_asked_at__lt=before)
    waiting = [(send, pk) for rows, send, _ in _KINDS for pk in _waiting(rows, long_ago)]
    for send, pk in waiting:
        send(pk)
    return len(waiting)


def _waiting(rows: Any, long_ago: Q) -> list[int]:
    return list(rows.checkable().filter(long_ago, check_claim=None).values_list("pk", flat=True))


def _send(row: Row, wait: timedelta | None) -> None:
    send = messages.send_version if isinstance(row, ModelVersion) else messages.send_dataset
    send(row.pk, wait)
