"""The cache that all processes share: Redis, read as JSON, and this process's memory while Redis is away.

Django's own serializer is pickle: whoever can write a key would run code in the web process. What is kept here are
counts and times of requests, so losing them is harmless and limits still hold within each process.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterable
from typing import Any

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache, RedisCacheClient

from apps.outages import REDIS_AWAY, Outage

logger = logging.getLogger(__name__)

OPERATIONS = (
    *("add", "get", "set", "touch", "delete", "has_key", "incr"),
    *("get_many", "set_many", "delete_many", "clear"),
)
MOST_ALONE = 20_000
"""Keys that a process keeps while it is alone."""


class JsonSerializer:
    """Values as JSON."""

    def dumps(self, value: Any) -> int | bytes:
        # Redis counts with plain numbers.
        return value if type(value) is int else json.dumps(value).encode()

    def loads(self, data: bytes | str) -> Any:
        """Raises `ValueError` or `RecursionError` for what is no JSON."""
        return json.loads(data)


class JsonClient(RedisCacheClient):
    """Django's client, for which a value that is no JSON is not there: somebody else has put it under the key."""

    def get(self, key: Any, default: Any) -> Any:
        return self.get_many([key]).get(key, default)

    def get_many(self, keys: Iterable[Any]) -> dict[Any, Any]:
        names = list(keys)
        found = {}
        for name, data in zip(names, self.get_client(None).mget(names), strict=True):
            if data is not None:
                with contextlib.suppress(ValueError, RecursionError):
                    found[name] = JsonSerializer().loads(data)
        return found


outage = Outage()
"""One for the process: Django makes a cache for each thread."""


def _patient(operation: str) -> Callable[..., Any]:
    """The operation on Redis, or on this process's memory while Redis is away."""

    def call(self: SharedCache, *args: Any, **kwargs: Any) -> Any:
        if outage.may_ask():
            try:
                answer = getattr(RedisCache, operation)(self, *args, **kwargs)
            except REDIS_AWAY:
                if outage.began():
                    logger.warning("Redis does not answer: this process counts on its own.", exc_info=True)
            else:
                outage.ended()
                return answer
        return getattr(self.alone, operation)(*args, **kwargs)

    call.__name__ = operation
    return call


class SharedCache(RedisCache):
    """Redis's cache whose every operation has an answer within moments."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        params = {**params, "OPTIONS": {"serializer": JsonSerializer, **params.get("OPTIONS", {})}}
        super().__init__(server, params)
        self._class = JsonClient
        self.alone = LocMemCache("lathe.cache", {"OPTIONS": {"MAX_ENTRIES": MOST_ALONE}})


for _operation in OPERATIONS:
    setattr(SharedCache, _operation, _patient(_operation))
