"""Whether Lathe can do its work: what `GET /ready/` says to load balancers, rollouts and alarms.

Each check has a name, a verdict and one sentence. The page is open to everyone, so no sentence names a host, a user or
a path; the reason of a failure is in the log.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import dramatiq
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.agents.contracts.phrasing import listed
from apps.models import clock
from apps.optimization import workers
from lathe.errors import DATABASE_AWAY

logger = logging.getLogger(__name__)

VALID_FOR_S = 2.0
"""How long a process repeats its last answer. Everyone may ask, and every answer costs a write to the store."""
PROBES = "probes"
"""The store's folder for files that are written and removed at once."""


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    ok: bool
    sentence: str


class NotReady(Exception):
    """The sentence says what is missing."""


def _database() -> str:
    try:
        clock.now()
    except DATABASE_AWAY as error:
        raise NotReady("The database does not answer.") from error
    return "The database answers."


def _redis() -> str:
    reachable = getattr(dramatiq.get_broker(), "is_reachable", None)
    if reachable is not None and not reachable():
        raise NotReady("Redis does not answer, so no work can be sent to workers.")
    return "Redis answers."


def _store() -> str:
    """Writes a file to the store, reads it and removes it."""
    content = secrets.token_bytes(16)
    try:
        name = default_storage.save(f"{PROBES}/{secrets.token_hex(8)}", ContentFile(content))
        try:
            with default_storage.open(name) as file:
                found = file.read()
        finally:
            default_storage.delete(name)
    except Exception as error:  # each storage raises errors of its own
        raise NotReady("Files cannot be written to the store.") from error
    if found != content:
        raise NotReady("The store returns other bytes than were written to it.")
    return "Files can be written to the store and read again."


def _migrations() -> str:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        raise NotReady(f"{len(missing)} migrations are not applied. Run manage.py migrate.")
    return "All migrations are applied."


def _workers() -> str:
    needed = settings.LATHE.needed_queues
    living = workers.alive()
    unserved = [queue for queue in needed if not workers.working_on(queue, living)]
    if unserved:
        raise NotReady(f"No live worker serves {listed(unserved)}.")
    return f"Live workers serve {listed(needed)}."


_CHECKS: dict[str, Callable[[], str]] = {
    "database": _database,
    "redis": _redis,
    "store": _store,
    "migrations": _migrations,
    "workers": _workers,
}
"""By name, in this order."""
_IN_THE_DATABASE = ("migrations", "workers")


def checks() -> tuple[Check, ...]:
    """All checks, carried out now. What is in the database is not asked for if that does not answer."""
    done: dict[str, Check] = {}
    for name, look in _CHECKS.items():
        if name in _IN_THE_DATABASE and not done["database"].ok:
            done[name] = Check(name, False, "Not known while the database does not answer.")
        else:
            done[name] = _carried_out(name, look)
    return tuple(done.values())


def _carried_out(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except NotReady as missing:
        logger.warning("Not ready: %s", missing, exc_info=missing.__cause__)
        return Check(name, False, str(missing))
    except DATABASE_AWAY:
        logger.warning("Not ready: the check of %s failed.", name, exc_info=True)
        return Check(name, False, "The database did not answer.")


class _LastAnswer:
    """The last result, which everyone who asks within `VALID_FOR_S` gets as well."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._checks: tuple[Check, ...] = ()
        self._until = 0.0

    def get(self) -> tuple[Check, ...]:
        with self._lock:
            if time.monotonic() >= self._until:
                self._checks = checks()
                self._until = time.monotonic() + VALID_FOR_S
            return self._checks

    def forget(self) -> None:
        with self._lock:
            self._until = 0.0


last_answer = _LastAnswer()


@login_not_required
@never_cache
@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """200 if every check holds, otherwise 503, with all checks as JSON either way. `except=workers` leaves that check
    out of the verdict; an unknown name is answered with 400.
    """
    left_out = request.GET.getlist("except")
    if strangers := sorted(set(left_out) - _CHECKS.keys()):
        sentence = f"There is no check called {listed(strangers)}. The checks are {listed(tuple(_CHECKS))}."
        return JsonResponse({"status": "unknown check", "sentence": sentence}, status=400)
    found = last_answer.get()
    holds = all(check.ok for check in found if check.name not in left_out)
    body = {
        "status": "ready" if holds else "not ready",
        "checks": [{"name": check.name, "ok": check.ok, "sentence": check.sentence} for check in found],
    }
    return JsonResponse(body, status=200 if holds else 503)
