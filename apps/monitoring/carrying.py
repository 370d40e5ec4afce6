"""Dramatiq middleware: log lines of a message's work carry the ids of whoever sent it."""

from __future__ import annotations

from typing import Any

import dramatiq

from apps.ids import CARRIED, bind_ids, clear_ids, worker_name


class CarriedIds(dramatiq.Middleware):
    """Binds the ids that `apps.sending` has put into the message, those of the message, and the worker's."""

    def before_process_message(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy) -> None:
        clear_ids()
        carried = message.options.get("ids")
        known = {name: carried[name] for name in CARRIED if name in carried} if isinstance(carried, dict) else {}
        bind_ids(**known, actor=message.actor_name, message_id=message.message_id, worker=worker_name())

    def after_process_message(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy, **outcome: Any) -> None:
        clear_ids()

    def after_skip_message(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy) -> None:
        clear_ids()
