"""The Redis of the queue: what it does with messages to workers when its memory is full."""

from __future__ import annotations

from collections.abc import Iterator

import dramatiq
from django.conf import settings
from redis.exceptions import NoPermissionError

from apps.agents.contracts.phrasing import number_of_bytes
from apps.outages import REDIS_AWAY
from lathe.doctor.findings import Finding, ok, warning

CHECK = "redis.memory"
KEEPS = "noeviction"
"""The one policy with which Redis refuses further messages, and does not throw earlier ones away."""


def memory() -> Iterator[Finding]:
    """Asks the broker's server with INFO. If it does not answer, `/ready/` has said so."""
    client = getattr(dramatiq.get_broker(), "client", None)
    if client is None:
        return
    try:
        found = client.info("memory")
    except NoPermissionError:
        told = "Redis does not let this user ask what happens when its memory is full."
        yield warning(CHECK, told, "Give the web's user +info (compose.yaml has its rules).")
    except REDIS_AWAY:
        return
    else:
        yield _judged(found["maxmemory_policy"], found["maxmemory"])


def _judged(policy: str, limit_bytes: int) -> Finding:
    if policy != KEEPS:
        told = f"Redis throws keys away when its memory is full ({policy}), messages to workers among them."
        return warning(CHECK, told, f"Set maxmemory-policy {KEEPS}, and give what may be thrown away another Redis.")
    if not limit_bytes and not settings.LATHE.redis_is_embedded:
        told = "Redis has no maxmemory: it takes more until the system ends it, and again after each start."
        return warning(CHECK, told, "Set maxmemory to three quarters of the memory that it may have.")
    limit = f"beyond {number_of_bytes(limit_bytes)}" if limit_bytes else "when this machine has no more memory"
    return ok(CHECK, f"Redis refuses messages {limit}, and throws none away.")
