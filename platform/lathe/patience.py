"""Retries of Redis clients. The library's default is ten times five seconds, for pages and workers alike."""

from __future__ import annotations

from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import ConnectionError as Unreachable
from redis.retry import Retry


def once_more() -> Retry:
    """Reconnects once if the server has closed the connection. Does not wait twice for a server that hangs."""
    return Retry(NoBackoff(), 1, supported_errors=(Unreachable,))


def again_and_again() -> Retry:
    """For callers that can only wait until the server is back."""
    return Retry(ExponentialWithJitterBackoff(base=0.01, cap=1), 10)
