"""One step: claimed once, watched while it runs, stopped when unwanted, and nothing written without the claim."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import psutil
import pytest
from django.db import OperationalError, connections
from django.utils import timezone

from apps.accounts.models import User
from apps.agents.contracts.state import Status, StepKind
from apps.agents.sandbox.process import JobCancelled
from apps.live import pokes
from apps.optimization import jobs, pipeline, runner, scratch, services, workers
from apps.optimization.models import LogEntry, OptimizationSession, SessionStep, Worker
from tests.optimization import crank
from tests.processes import works_on_a_step
from tests.waiting import HANGS_S, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("stored", "small_handlers", "impatient")]

LEASE = timedelta(seconds=30)


@pytest.fixture
def step(session: OptimizationSession) -> SessionStep:
    """The queued analysis of a running session."""
    pipeline.advance(session.pk)
    list(crank.messages())
    return session.steps.get()


@contextmanager
def running(step: SessionStep) -> Iterator[None]:
    """The step in a thread, as in a worker; returns once it works, and waits for its end."""

    def work() -> None:
        runner.run_step(step.pk)
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    wait_until(lambda: SessionStep.objects.filter(pk=step.pk, message="Working").exists())
    yield
    thread.join(timeout=HANGS_S)
    assert not thread.is_alive()


def children() -> list[psutil.Process]:
    """The children of steps that live; one that ends while it is looked at does not."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if works_on_a_step(child):
                found.append(child)
    return found


def test_only_one_of_two_takes_a_step(step: SessionStep) -> None:
    mine, theirs = (SessionStep.objects.get(pk=step.pk) for _ in range(2))
    assert mine.take("one", LEASE)
    assert not theirs.take("two", LEASE)
    assert SessionStep.objects.get(pk=step.pk).worker == "one"


def test_a_message_that_comes_twice_does_the_work_once(step: SessionStep) -> None:
    runner.run_step(step.pk)
    runner.run_step(step.pk)
    step.refresh_from_db()
    assert (step.status, step.attempt) == (Status.COMPLETED, 1)


def test_a_message_for_a_step_that_is_gone_is_no_error(step: SessionStep) -> None:
    pk = step.pk
    step.delete()
    runner.run_step(pk)


def test_a_run_that_lost_its_claim_writes_nothing(step: SessionStep, monkeypatch: pytest.MonkeyPatch) -> None:
    run_job = runner.run_job

    def taken_over(*arguments: Any, **options: Any) -> Any:
        result = run_job(*arguments, **options)
        silent = SessionStep.objects.get(pk=step.pk)
        assert silent.hand_back(reason="silent")
        silent.refresh_from_db()
        assert silent.take("another", LEASE)
        return result

    monkeypatch.setattr(runner, "run_job", taken_over)
    runner.run_step(step.pk)
    step.refresh_from_db()
    assert (step.status, step.worker, step.result) == (Status.RUNNING, "another", {})
    assert not hasattr(step.session, "analysis")


def test_a_cancelled_session_stops_its_child_and_leaves_no_file(
    step: SessionStep, monkeypatch: pytest.MonkeyPatch, engineer: User
) -> None:
    monkeypatch.setitem(jobs.HANDLERS, StepKind.ANALYSE, "tests.optimization.handlers:dawdle")
    with running(step):
        assert len(children()) == 1
        assert any(scratch.root().iterdir())
        services.session_cancel(step.session, engineer)
        wait_until(lambda: not children(), "the end of the child", within_s=2)
    assert not list(scratch.root().iterdir())
    crank.turn_until_quiet()
    session = OptimizationSession.objects.get(pk=step.session_id)
    assert session.status == Status.CANCELLED
    assert session.steps.get().status == Status.CANCELLED


def test_a_worker_that_is_told_to_stop_hands_its_step_back_and_the_try_does_not_count(
    step: SessionStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(jobs.HANDLERS, StepKind.ANALYSE, "tests.optimization.handlers:dawdle")
    with running(step):
        workers.stopping.set()
    workers.stopping.clear()
    step.refresh_from_db()
    assert (step.status, step.attempt, step.claim) == (Status.QUEUED, 0, None)
    assert [message.args[0] for message in crank.messages("cpu")] == [step.pk]
    assert not list(scratch.root().iterdir())


def test_a_worker_that_is_busy_lets_another_have_the_message(step: SessionStep) -> None:
    with runner._slot:
        runner.run_step(step.pk)
    assert [(message.actor_name, message.args[0]) for message in crank.messages()] == [("run_step", step.pk)]
    step.refresh_from_db()
    assert step.status == Status.QUEUED


def test_the_heartbeat_renews_the_lease(step: SessionStep, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.PIPELINE_TIMING = {"lease_s": 20.0, "heartbeat_s": 0.05, "write_s": 60.0}
    leases: list[Any] = []

    def wait_for_beats(*arguments: Any, **options: Any) -> Any:
        first = SessionStep.objects.get(pk=step.pk).lease_expires_at
        wait_until(lambda: SessionStep.objects.get(pk=step.pk).lease_expires_at != first)
        leases.append(first)
        raise JobCancelled

    monkeypatch.setattr(runner, "run_job", wait_for_beats)
    runner.run_step(step.pk)
    assert leases


def test_the_worker_shows_what_it_does(step: SessionStep, monkeypatch: pytest.MonkeyPatch) -> None:
    from apps.optimization import workers

    workers.report(["cpu"])
    seen: list[int | None] = []

    def look(*arguments: Any, **options: Any) -> Any:
        seen.append(Worker.objects.get(pk=workers.name()).current_step_id)
        raise JobCancelled

    monkeypatch.setattr(runner, "run_job", look)
    runner.run_step(step.pk)
    assert seen == [step.pk]
    assert Worker.objects.get(pk=workers.name()).current_step_id is None


def test_progress_is_written_twice_a_second_at_most(
    step: SessionStep, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.PIPELINE_TIMING = {"write_s": 0.5}
    monkeypatch.setitem(jobs.HANDLERS, StepKind.ANALYSE, "tests.optimization.handlers:chatter")
    writes: list[float] = []
    note_progress = SessionStep.note_progress

    def count(self: SessionStep, **changes: Any) -> bool:
        writes.append(time.monotonic())
        return note_progress(self, **changes)

    monkeypatch.setattr(SessionStep, "note_progress", count)
    runner.run_step(step.pk)
    # The last one is written when the child ends, whenever that is.
    assert all(later - earlier >= 0.5 for earlier, later in itertools.pairwise(writes[:-1]))
    assert LogEntry.objects.filter(step_key=step.key, message__startswith="line").count() == 200


def test_pages_are_poked_when_something_changed(step: SessionStep, monkeypatch: pytest.MonkeyPatch) -> None:
    poked: list[Any] = []
    monkeypatch.setattr(pokes, "_send", poked.append)
    runner.run_step(step.pk)
    assert set(poked) == {(step.session.channel_group,)}


def test_a_channel_layer_that_is_away_does_not_stop_the_work(
    step: SessionStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        async def group_send(self, group: str, message: dict[str, Any]) -> None:
            raise ConnectionRefusedError

    monkeypatch.setattr(pokes, "get_channel_layer", Away)
    runner.run_step(step.pk)
    step.refresh_from_db()
    assert step.status == Status.COMPLETED


def test_a_step_of_a_session_that_ended_is_not_begun(step: SessionStep) -> None:
    OptimizationSession.objects.update(status=Status.FAILED)
    runner.run_step(step.pk)
    step.refresh_from_db()
    assert (step.status, step.attempt) == (Status.QUEUED, 0)


def test_a_step_before_its_time_is_not_begun(step: SessionStep) -> None:
    SessionStep.objects.update(not_before=timezone.now() + timedelta(minutes=1))
    runner.run_step(step.pk)
    step.refresh_from_db()
    assert step.status == Status.QUEUED


def test_a_database_that_was_away_for_a_moment_costs_a_try_and_no_more(
    step: SessionStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job = runner.run_job

    def away(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(runner, "run_job", run_job)
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(runner, "run_job", away)
    runner.run_step(step.pk)
    step.refresh_from_db()
    assert (step.status, step.traceback) == (Status.QUEUED, "")
    assert "server closed the connection" in step.message
    runner.run_step(step.pk)
    step.refresh_from_db()
    assert (step.status, step.attempt) == (Status.COMPLETED, 2)
