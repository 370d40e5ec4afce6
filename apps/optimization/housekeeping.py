"""Housekeeping in every worker process: sends heartbeats and sweeps up after dead workers.

A Dramatiq middleware, so that a worker cannot be started without it. `django_dramatiq` loads it before the apps are
ready, which is why the models are imported on first use.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import dramatiq
from django.db import close_old_connections, connections

logger = logging.getLogger(__name__)

COLLECT_EVERY_S = 3600.0
"""How often workers of the right queue trigger the store's garbage collection."""


class Housekeeping(dramatiq.Middleware):
    """Starts and stops the housekeeper's thread with the worker."""

    def __init__(self) -> None:
        self._housekeeper: Housekeeper | None = None

    def after_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        from apps.agents.sandbox.walls.privileges import hide
        from apps.optimization import workers

        hide()
        workers.stopping.clear()
        queues = worker.consumer_whitelist or broker.get_declared_queues()
        self._housekeeper = Housekeeper(sorted(queues))
        self._housekeeper.start()

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        from apps.optimization import workers

        workers.stopping.set()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        if self._housekeeper is not None:
            self._housekeeper.stop()


class Housekeeper(threading.Thread):
    """Sends the worker's heartbeat every few seconds and sweeps periodically, until stopped."""

    def __init__(self, queues: list[str]) -> None:
        super().__init__(name="lathe-housekeeper", daemon=True)
        self.queues = queues
        self._done = threading.Event()

    def stop(self) -> None:
        """Ends the thread and deletes the worker's row, because this is an orderly shutdown."""
        self._done.set()
        self.join(timeout=5)

    def run(self) -> None:
        from apps.models.timing import timing
        from apps.notifications import outbox
        from apps.optimization import sweeper, workers

        next_sweep = next_collection = 0.0
        while not self._done.is_set():
            self._try(workers.report, self.queues)
            if time.monotonic() >= next_sweep:
                self._try(sweeper.sweep)
                if "default" in self.queues:
                    self._try(outbox.sweep)
                next_sweep = time.monotonic() + timing().sweep_s
            if "default" in self.queues and time.monotonic() >= next_collection:
                self._try(_ask_for_collection)
                next_collection = time.monotonic() + COLLECT_EVERY_S
            self._done.wait(timing().heartbeat_s)
        self._try(workers.leave)
        connections.close_all()

    @staticmethod
    def _try(chore: Any, *arguments: Any) -> None:
        """Runs a chore. The thread survives an unavailable database, and a failing chore is logged."""
        try:
            close_old_connections()
            chore(*arguments)
        except Exception:
            logger.exception("The housekeeper could not finish %s.", chore.__qualname__)


def _ask_for_collection() -> None:
    """Sends messages instead of calling: listing a large store takes longer than a worker may be silent."""
    from apps.models.messages import COLLECT_STORE
    from apps.optimization.messages import TIDY_UP

    TIDY_UP.send()
    COLLECT_STORE.send()
