"""Outages of services. Code that can do without a service continues; other code fails at once and changes nothing."""

from __future__ import annotations

import threading
import time

import dramatiq
from dramatiq.errors import BrokerError
from redis.exceptions import RedisError

from apps.errors import QueueAway

REDIS_AWAY = (RedisError, OSError)
"""What a Redis client raises if the server is unavailable, hangs, or refuses the login."""
BROKER_AWAY = (BrokerError, *REDIS_AWAY)
"""What sending a message raises in an outage."""

PAUSE_S = 5.0


class Outage:
    """Whether to try a service. During an outage, only one caller per `pause_s` waits for it."""

    def __init__(self, pause_s: float = PAUSE_S) -> None:
        self._pause_s = pause_s
        self._lock = threading.Lock()
        self._silent_until: float | None = None

    def may_ask(self) -> bool:
        """Whether to try the service now. The caller then reports the result: `ended` or `began`."""
        with self._lock:
            if self._silent_until is None:
                return True
            if time.monotonic() < self._silent_until:
                return False
            self._silent_until = time.monotonic() + self._pause_s
            return True

    def began(self) -> bool:
        """Reports that the service did not answer. Returns whether this begins an outage."""
        with self._lock:
            news = self._silent_until is None
            self._silent_until = time.monotonic() + self._pause_s
            return news

    def ended(self) -> None:
        """Reports that the service answered."""
        if self._silent_until is not None:
            with self._lock:
                self._silent_until = None


def require_queue() -> None:
    """Raises `QueueAway` if no message can be sent now. Call it before writing a row that needs a worker."""
    reachable = getattr(dramatiq.get_broker(), "is_reachable", None)
    if reachable is not None and not reachable():
        raise QueueAway()
