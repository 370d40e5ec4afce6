"""How long a client of Redis tries. Its own default is ten times five seconds, for pages as for workers."""

from __future__ import annotations

from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import ConnectionError as Unreachable
from redis.retry import Retry


def once_more() -> Retry:
    """A connection that the server has closed is made anew once; a server that hangs is not waited for twice."""
    return Retry(NoBackoff(), 1, supported_errors=(Unreachable,))


def again_and_again() -> Retry:
    """For whoever has nothing better to do than to wait until the server is back."""
    return Retry(ExponentialWithJitterBackoff(base=0.01, cap=1), 10)
