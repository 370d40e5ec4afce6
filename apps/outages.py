"""Services that do not answer: what can do without them goes on, what cannot says so at once and changes nothing."""

from __future__ import annotations

import threading
import time

import dramatiq
from dramatiq.errors import BrokerError
from redis.exceptions import RedisError

from apps.errors import QueueAway

REDIS_AWAY = (RedisError, OSError)
"""What a client of Redis raises when the server is away, hangs, or does not let it in."""
BROKER_AWAY = (BrokerError, *REDIS_AWAY)
"""What sending a message raises then."""

PAUSE_S = 5.0


class Outage:
    """Whether a service is worth asking. While it is away one caller in `pause_s` waits for it, and nobody else."""

    def __init__(self, pause_s: float = PAUSE_S) -> None:
        self._pause_s = pause_s
        self._lock = threading.Lock()
        self._silent_until: float | None = None

    def may_ask(self) -> bool:
        """Whether to ask the service now. Who asks tells what came of it: `ended` or `began`."""
        with self._lock:
            if self._silent_until is None:
                return True
            if time.monotonic() < self._silent_until:
                return False
            self._silent_until = time.monotonic() + self._pause_s
            return True

    def began(self) -> bool:
        """The service did not answer. Returns whether that is news."""
        with self._lock:
            news = self._silent_until is None
            self._silent_until = time.monotonic() + self._pause_s
            return news

    def ended(self) -> None:
        """The service answered."""
        if self._silent_until is not None:
            with self._lock:
                self._silent_until = None


def require_queue() -> None:
    """Raises `QueueAway` when no message can be sent now. To be asked before a row is written that workers take up."""
    answers = getattr(dramatiq.get_broker(), "answers", None)
    if answers is not None and not answers():
        raise QueueAway()
