"""How often a client of Redis tries. Its own default is ten times: minutes, where the server hangs."""

from __future__ import annotations

from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Unreachable
from redis.retry import Retry


def once_more() -> Retry:
    """A connection that the server has closed is made anew once; a server that hangs is not waited for twice."""
    return Retry(NoBackoff(), 1, supported_errors=(Unreachable,))
