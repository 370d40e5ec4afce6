"""Sends work to the workers by an actor's name, so that the sender does not import the code that runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

import dramatiq

from apps.ids import carried_ids


class Declared(TypedDict):
    """What an actor and its messages must agree on."""

    actor_name: str
    queue_name: str


@dataclass(frozen=True)
class Recipient:
    """An actor as its senders know it. The actor is declared with `**declared`."""

    actor: str
    queue: str

    @property
    def declared(self) -> Declared:
        return {"actor_name": self.actor, "queue_name": self.queue}

    def send(self, *arguments: Any, delay_ms: int = 0) -> None:
        """Enqueues a message at once, to be taken `delay_ms` from now. Raises one of `BROKER_AWAY` (`apps.outages`)."""
        options = {"ids": carried} if (carried := carried_ids()) else {}
        message: dramatiq.Message[Any] = dramatiq.Message(
            queue_name=self.queue, actor_name=self.actor, args=arguments, kwargs={}, options=options
        )
        dramatiq.get_broker().enqueue(message, delay=delay_ms or None)
