"""What was left lying is picked up, once, however many sweep."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.agents.contracts.state import Status
from apps.audit.models import AuditEvent
from apps.models.storage import put_stream
from apps.optimization import pipeline, runner, scratch, services, sweeper, workers
from apps.optimization.models import OptimizationSession, PipelineSettings, SessionStep, Worker
from apps.optimization.models.step import MOST_TIMES_OVER
from apps.optimization.waiting import waits_of
from tests.optimization import crank

pytestmark = pytest.mark.django_db(transaction=True)

LEASE = timedelta(seconds=30)


@pytest.fixture
def step(session: OptimizationSession) -> SessionStep:
    """The queued analysis of a running session, its message lost."""
    pipeline.advance(session.pk)
    list(crank.messages())
    return session.steps.get()


def silence(step: SessionStep) -> None:
    """The worker took the step and was never heard of again."""
    assert step.take("shed:1", LEASE)
    SessionStep.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))


def test_the_step_of_a_silent_worker_goes_back_to_the_queue(step: SessionStep) -> None:
    silence(step)
    assert sweeper.sweep().steps_recovered == 1
    step.refresh_from_db()
    assert (step.status, step.claim, step.attempt) == (Status.QUEUED, None, 1)
    assert step.pk in [message.args[0] for message in crank.messages("cpu")]
    assert step.session.log.filter(level="warning", message__contains="shed:1 fell silent").exists()
    assert sweeper.sweep().steps_recovered == 0


def test_a_step_whose_lease_still_runs_is_left_alone(step: SessionStep) -> None:
    assert step.take("shed:1", LEASE)
    assert sweeper.sweep().steps_recovered == 0


def test_a_worker_that_came_back_in_time_keeps_its_step(step: SessionStep) -> None:
    silence(step)
    seen = SessionStep.objects.select_related("session").get()
    assert step.renew(LEASE)
    assert not sweeper._recover(seen, most_attempts=3)


def test_a_step_that_lost_its_worker_too_often_fails(step: SessionStep) -> None:
    for _ in range(3):
        silence(step)
        sweeper.sweep()
        step.refresh_from_db()
    assert (step.status, step.error_code) == (Status.FAILED, "step.worker_lost")
    crank.turn_until_quiet()
    session = OptimizationSession.objects.get()
    assert (session.status, session.error_code) == (Status.FAILED, "step.worker_lost")


def test_a_step_that_gets_further_at_every_attempt_is_not_given_up(step: SessionStep) -> None:
    for number in range(5):
        silence(step)
        assert step.keep_checkpoint(put_stream([b"%d" % number]), "what was asked")
        sweeper.sweep()
        step.refresh_from_db()
        assert step.status == Status.QUEUED
    for _ in range(3):
        silence(step)
        sweeper.sweep()
    step.refresh_from_db()
    assert (step.status, step.attempt, step.error_code) == (Status.FAILED, 8, "step.worker_lost")


def test_a_step_whose_checkpoints_lead_nowhere_is_given_up_in_the_end(step: SessionStep) -> None:
    most = MOST_TIMES_OVER * PipelineSettings.current().max_attempts
    SessionStep.objects.update(attempt=most - 1)
    silence(step)
    assert step.keep_checkpoint(put_stream([b"half"]), "what was asked")
    sweeper.sweep()
    step.refresh_from_db()
    assert (step.status, step.attempt) == (Status.FAILED, most)


def test_the_step_of_a_cancelled_session_whose_worker_died_is_cancelled(step: SessionStep, engineer: User) -> None:
    silence(step)
    services.session_cancel(step.session, engineer)
    sweeper.sweep()
    crank.turn_until_quiet()
    assert SessionStep.objects.get().status == Status.CANCELLED
    assert OptimizationSession.objects.get().status == Status.CANCELLED


def test_a_lost_message_is_repeated_where_a_worker_is_idle(step: SessionStep, worker: Worker) -> None:
    assert sweeper.sweep().messages_sent == 0, "it was announced a moment ago"
    SessionStep.objects.update(enqueued_at=timezone.now() - timedelta(minutes=5))
    assert sweeper.sweep().messages_sent == 1
    assert [message.args[0] for message in crank.messages("cpu")] == [step.pk]
    assert sweeper.sweep().messages_sent == 0


def test_no_step_is_taken_from_a_paused_queue_until_it_goes_on(
    step: SessionStep, worker: Worker, admin_client: Client
) -> None:
    row = PipelineSettings.current()
    page = f"/admin/optimization/pipelinesettings/{row.pk}/change/"
    limits = {"step_memory_limit_bytes": 2**34, "max_attempts": 3, "step_time_limit_minutes": 60}
    limits |= {"breaker_failures": 5, "breaker_window_minutes": 60, "breaker_cooldown_minutes": 30}
    assert admin_client.post(page, {**limits, "paused_queues": ["cpu"]}).status_code == 302
    runner.run_step(step.pk)
    SessionStep.objects.update(enqueued_at=timezone.now() - timedelta(minutes=5))
    assert sweeper.sweep().messages_sent == 0
    step.refresh_from_db()
    assert (step.status, step.attempt) == (Status.QUEUED, 0)
    assert waits_of([step.session])[step.session_id].sentence == (
        "next in the queue, and an operator has paused the queue cpu"
    )
    list(crank.messages("cpu"))
    assert admin_client.post(page, limits).status_code == 302
    assert [message.args[0] for message in crank.messages("cpu")] == [step.pk]
    changes = AuditEvent.objects.filter(action="settings.changed").order_by("sequence")
    assert [event.data["paused_queues"] for event in changes] == [[[], ["cpu"]], [["cpu"], []]]


def test_a_message_is_not_repeated_while_all_workers_are_busy_or_gone(step: SessionStep, worker: Worker) -> None:
    SessionStep.objects.update(enqueued_at=None)
    Worker.objects.update(current_step=step)
    assert sweeper.sweep().messages_sent == 0
    Worker.objects.update(current_step=None, seen_at=timezone.now() - timedelta(minutes=5))
    assert sweeper.sweep().messages_sent == 0


def test_a_session_that_nobody_asks_for_is_moved_on(session: OptimizationSession) -> None:
    assert len(list(crank.messages())) == 1, "and lost"
    assert sweeper.sweep().sessions_advanced == 1
    assert session.steps.get().key == "analyse"
    assert sweeper.sweep().sessions_advanced == 0


def test_scratch_folders_of_dead_tries_go_and_others_stay(step: SessionStep) -> None:
    assert step.take("shed:1", LEASE)
    assert step.claim is not None
    alive = scratch.root() / f"step-{step.pk}-{step.claim.hex}"
    dead = scratch.root() / f"step-{step.pk}-{uuid4().hex}"
    foreign = scratch.root() / "inspection-1"
    for folder in (alive, dead, foreign):
        (folder / "out").mkdir(parents=True)
    try:
        assert sweeper.sweep().folders_removed == 1
        assert alive.exists()
        assert foreign.exists()
        assert not dead.exists()
    finally:
        for folder in (alive, foreign):
            scratch._remove(folder)


def test_workers_that_died_long_ago_are_forgotten(worker: Worker) -> None:
    Worker.objects.update(seen_at=timezone.now() - timedelta(hours=2))
    sweeper.sweep()
    assert Worker.objects.exists()
    Worker.objects.update(seen_at=timezone.now() - timedelta(days=2))
    sweeper.sweep()
    assert not Worker.objects.exists()


def test_a_worker_reports_itself_with_its_machine_and_leaves_in_order() -> None:
    workers.report(["cpu", "default"])
    row = Worker.objects.get()
    assert row.is_alive
    assert row.queues == ["cpu", "default"]
    assert "onnxruntime" in row.libraries
    assert row.machine["cores"] >= 1
    workers.report(["gpu"])
    assert Worker.objects.get().queues == ["gpu"]
    workers.leave()
    assert not Worker.objects.exists()


def test_the_command_says_what_it_did(step: SessionStep, capsys: pytest.CaptureFixture[str]) -> None:
    silence(step)
    call_command("sweep")
    assert "1 steps recovered" in capsys.readouterr().out
