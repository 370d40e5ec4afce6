"""Machines whose clocks differ: only the database's own says who is late."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from apps.agents.contracts.state import Status
from apps.models import clock
from apps.optimization import messages, pipeline, sweeper, workers
from apps.optimization.models import OptimizationSession, SessionStep, Worker
from tests.optimization import crank

pytestmark = pytest.mark.django_db(transaction=True)

LEASE = timedelta(seconds=30)
AHEAD = [timedelta(seconds=60), timedelta(hours=-3)]


@pytest.fixture
def step(session: OptimizationSession) -> SessionStep:
    pipeline.advance(session.pk)
    list(crank.messages())
    return session.steps.get()


@contextmanager
def on_a_host_that_is(ahead: timedelta) -> Iterator[None]:
    """What runs here sees another time than the database does."""
    now = timezone.now
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timezone, "now", lambda: now() + ahead)
        yield


@pytest.mark.parametrize("ahead", AHEAD, ids=str)
def test_another_hosts_clock_takes_no_step_from_a_live_worker(step: SessionStep, ahead: timedelta) -> None:
    assert step.take("shed:1", LEASE)
    with on_a_host_that_is(ahead):
        assert sweeper.sweep().steps_recovered == 0
    assert step.renew(LEASE)


@pytest.mark.parametrize("ahead", AHEAD, ids=str)
def test_a_worker_whose_clock_is_wrong_is_no_longer_and_no_shorter_missed(step: SessionStep, ahead: timedelta) -> None:
    with on_a_host_that_is(ahead):
        assert step.take("shed:1", LEASE)
        assert step.renew(LEASE)
        workers.report(["cpu"])
    step.refresh_from_db()
    assert step.lease_expires_at is not None
    assert 25 < (step.lease_expires_at - clock.now()).total_seconds() <= 30
    assert [worker.is_alive for worker in Worker.objects.alive()] == [True]
    assert sweeper.sweep().steps_recovered == 0
    assert Worker.objects.exists()


@pytest.mark.parametrize("ahead", AHEAD, ids=str)
def test_a_backoff_is_as_long_on_every_machine(step: SessionStep, ahead: timedelta) -> None:
    assert step.take("shed:1", LEASE)
    with on_a_host_that_is(ahead):
        assert step.hand_back(reason="again", wait=timedelta(seconds=60))
        step.refresh_from_db()
        assert step.status == Status.QUEUED
        assert not step.take("another", LEASE), "it is not due yet"
        delay_ms = messages._delay_ms(step.not_before)
    assert 55_000 < delay_ms <= 60_200
    messages.send_when_due(step.pk)
    assert [message.args[0] for message in crank.messages("cpu")] == [step.pk]


def test_the_databases_clock_is_this_machines_here() -> None:
    assert isinstance(clock.now(), datetime)
    assert abs(clock.now() - timezone.now()) < timedelta(seconds=5)
