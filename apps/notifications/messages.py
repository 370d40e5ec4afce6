"""Sends deliveries to the workers. Without a broker they are sent later: the outbox has them."""

from __future__ import annotations

import logging

from apps.outages import BROKER_AWAY
from apps.sending import Recipient

DELIVER = Recipient("deliver", "default")

logger = logging.getLogger(__name__)


def send(delivery_id: int) -> None:
    """Asks a worker to try one delivery now."""
    try:
        DELIVER.send(delivery_id)
    except BROKER_AWAY:
        logger.exception("Delivery %s: the broker cannot be reached. The sweeper will send it.", delivery_id)
