"""How patient the pipeline is. An operator's settings may say otherwise: `PIPELINE_TIMING = {"lease_s": 2}`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings


@dataclass(frozen=True)
class Timing:
    """Seconds, each of them. What they are compared with is the database's clock (`apps.models.clock`)."""

    lease_s: float = 30.0
    """How long a worker may be silent before its step is handed to another."""
    heartbeat_s: float = 5.0
    """How often a worker renews its lease and says that it lives."""
    cancel_check_s: float = 0.5
    """How often a running step looks whether it is still wanted."""
    sweep_s: float = 10.0
    """How often every worker looks for steps and sessions that were left lying."""
    message_lost_s: float = 60.0
    """After this long a queued step that no worker took is announced again."""
    backoff_s: float = 5.0
    """Wait before the second try of a step; it doubles with each further one."""
    write_s: float = 0.5
    """Progress is written, and pages are told, no more often than this."""

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.lease_s)

    def backoff(self, attempt: int) -> timedelta:
        """The wait after try number `attempt` (from 1) failed: exponential, at most ten minutes."""
        return timedelta(seconds=min(600.0, self.backoff_s * 2 ** (attempt - 1)))

    def backoff_of_infrastructure(self, attempt: int) -> timedelta:
        """The wait where it was not the work that failed: longer, as a service that restarts takes a minute."""
        return self.backoff(attempt + 2)


def timing() -> Timing:
    """What the settings say now."""
    return Timing(**getattr(settings, "PIPELINE_TIMING", {}))
