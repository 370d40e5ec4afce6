"""The channel layer of live pages. An open page survives an outage of Redis."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from channels_redis.core import RedisChannelLayer
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from apps.outages import REDIS_AWAY, Outage

logger = logging.getLogger(__name__)

AGAIN_AFTER_S = 2.0


class PatientLayer(RedisChannelLayer):
    """Channels' layer, but it waits while Redis is unavailable. The original would close the socket of every open page.

    Pages poll for changes meanwhile (`apps.optimization.consumers`).
    """

    def __init__(self, hosts: list[dict[str, Any]], **options: Any) -> None:
        super().__init__(hosts=[{"retry": Retry(NoBackoff(), 0), **host} for host in hosts], **options)
        self._outage = Outage()

    async def receive(self, channel: str) -> dict[str, Any]:
        while True:
            try:
                message: dict[str, Any] = await super().receive(channel)
            except REDIS_AWAY:
                if self._outage.began():
                    logger.warning("Redis does not answer. Live pages receive no pokes.", exc_info=True)
                await asyncio.sleep(AGAIN_AFTER_S)
            else:
                self._outage.ended()
                return message
