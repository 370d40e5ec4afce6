"""The shared cache: Redis with JSON values, or this process's memory while Redis is unavailable.

Django's default serializer is pickle, which would let anyone who can write a key run code in the web process. The cache
only holds counts and times of requests. Losing them is harmless, and limits still apply within each process.
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
"""The maximum number of keys in a process's own memory."""


class JsonSerializer:
    """Values as JSON."""

    def dumps(self, value: Any) -> int | bytes:
        # Redis increments only plain numbers.
        return value if type(value) is int else json.dumps(value).encode()

    def loads(self, data: bytes | str) -> Any:
        """Raises `ValueError` or `RecursionError` if the data is not JSON."""
        return json.loads(data)


class JsonClient(RedisCacheClient):
    """Django's client, which treats a value that is not JSON as missing, because it was not written by Lathe."""

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
"""Shared by all threads of the process, because Django creates one cache per thread."""


def _patient(operation: str) -> Callable[..., Any]:
    """The operation on Redis, or on this process's memory while Redis is unavailable."""

    def call(self: SharedCache, *args: Any, **kwargs: Any) -> Any:
        if outage.may_ask():
            try:
                answer = getattr(RedisCache, operation)(self, *args, **kwargs)
            except REDIS_AWAY:
                if outage.began():
                    logger.warning("Redis does not answer. This process counts requests on its own.", exc_info=True)
            else:
                outage.ended()
                return answer
        return getattr(self.alone, operation)(*args, **kwargs)

    call.__name__ = operation
    return call


class SharedCache(RedisCache):
    """A Redis cache whose operations all return within moments."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        params = {**params, "OPTIONS": {"serializer": JsonSerializer, **params.get("OPTIONS", {})}}
        super().__init__(server, params)
        self._class = JsonClient
        self.alone = LocMemCache("lathe.cache", {"OPTIONS": {"MAX_ENTRIES": MOST_ALONE}})


for _operation in OPERATIONS:
    setattr(SharedCache, _operation, _patient(_operation))
