"""Timeouts and intervals of the pipeline. Settings can override them: `PIPELINE_TIMING = {"lease_s": 2}`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings


@dataclass(frozen=True)
class Timing:
    """All values are in seconds and are compared with the database's clock (`apps.models.clock`)."""

    lease_s: float = 30.0
    """How long a worker may be silent before its step is given to another."""
    heartbeat_s: float = 5.0
    """How often a worker renews its lease and sends a heartbeat."""
    cancel_check_s: float = 0.5
    """How often a running step checks whether it was cancelled."""
    sweep_s: float = 10.0
    """How often each worker looks for abandoned steps and sessions."""
    message_lost_s: float = 60.0
    """After this long, a queued step that no worker has taken is announced again."""
    backoff_s: float = 5.0
    """The wait before the second attempt of a step. It doubles with each further attempt."""
    write_s: float = 0.5
    """The minimum interval between progress updates to the database and to pages."""

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.lease_s)

    def backoff(self, attempt: int) -> timedelta:
        """The wait after attempt number `attempt` (from 1) failed: exponential, at most ten minutes."""
        return timedelta(seconds=min(600.0, self.backoff_s * 2 ** (attempt - 1)))

    def backoff_of_infrastructure(self, attempt: int) -> timedelta:
        """The wait after an infrastructure failure. It is longer, because a service takes a minute to restart."""
        return self.backoff(attempt + 2)


def timing() -> Timing:
    """The current timing, from the settings."""
    return Timing(**getattr(settings, "PIPELINE_TIMING", {}))
