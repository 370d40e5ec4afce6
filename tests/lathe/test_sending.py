"""What is sent by name arrives: every recipient is an actor that is declared, on the queue that it is sent to."""

from __future__ import annotations

import dramatiq
import pytest
from dramatiq.errors import QueueNotFound

from apps.models import messages as of_models
from apps.optimization import messages as of_optimization
from apps.sending import Recipient
from tests.optimization import crank

RECIPIENTS = [one for module in (of_models, of_optimization) for one in vars(module).values() if type(one) is Recipient]


@pytest.mark.parametrize("recipient", RECIPIENTS, ids=lambda one: one.actor)
def test_a_recipient_is_a_declared_actor(recipient: Recipient) -> None:
    actor = dramatiq.get_broker().get_actor(recipient.actor)
    assert actor.queue_name == recipient.queue


def test_every_recipient_was_found() -> None:
    assert len(RECIPIENTS) == len({one.actor for one in RECIPIENTS}) == 8


@pytest.mark.parametrize(("delay_ms", "delayed"), [(0, False), (1500, True)])
def test_a_message_says_whom_it_is_for_and_when(delay_ms: int, delayed: bool) -> None:
    Recipient("run_step", "cpu").send(7, delay_ms=delay_ms)
    [message] = crank.messages("cpu")
    assert (message.actor_name, message.args) == ("run_step", (7,))
    assert ("eta" in message.options) is delayed


def test_a_queue_that_nobody_serves_is_told() -> None:
    with pytest.raises(QueueNotFound):
        Recipient("run_step", "nowhere").send(7)
