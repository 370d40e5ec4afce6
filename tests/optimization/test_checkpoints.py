"""Checkpoints of a step: stored while it runs, handed to its next attempt, and gone with its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.agents.contracts.state import Status, StepKind
from apps.models.models import Blob, DataSet
from apps.models.storage import collect_unreferenced, open_blob, put_stream
from apps.models.usage import used_bytes
from apps.optimization import checkpoints, jobs, pipeline, runner, scratch, services, sweeper
from apps.optimization.models import LogEntry, OptimizationSession, SessionStep
from tests.optimization import crank
from tests.waiting import HANGS_S, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("stored", "small_handlers", "impatient")]

LEASE = timedelta(seconds=30)
AT_ONCE = timedelta(0)
KEPT = b"half"


@pytest.fixture
def step(session: OptimizationSession) -> SessionStep:
    """The queued analysis of a running session."""
    pipeline.advance(session.pk)
    list(crank.messages())
    return session.steps.get()


@pytest.fixture
def does(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a handler of the tests do the analysis."""
    return lambda name: monkeypatch.setitem(jobs.HANDLERS, StepKind.ANALYSE, f"tests.optimization.handlers:{name}")


def run(step: SessionStep) -> SessionStep:
    runner.run_step(step.pk)
    list(crank.messages())
    return SessionStep.objects.get(pk=step.pk)


def kept(step: SessionStep) -> SessionStep:
    """The step, back in the queue after an attempt whose worker died with a checkpoint stored."""
    assert half_done(step).hand_back(reason="silent")
    return SessionStep.objects.get(pk=step.pk)


def half_done(step: SessionStep) -> SessionStep:
    """The step, run by a worker that has stored a checkpoint."""
    assert step.take("a worker that dies", LEASE)
    identity = checkpoints.identity_of(jobs.job_of(step, Path("/any"), {}), jobs._blobs(step))
    assert step.keep_checkpoint(put_stream([KEPT]), identity)
    return step


def said(step: SessionStep) -> list[str]:
    return list(LogEntry.objects.filter(step_key=step.key).order_by("pk").values_list("message", flat=True))


def files() -> set[bytes]:
    """What is in the store beside the model and the data set, and the rows without bytes that fixtures begin with."""
    ours = Blob.objects.filter(versions=None, datasets=None).exclude(pk__in=("a" * 64, "b" * 64))
    return {open_blob(blob).read() for blob in ours}


# --- the next attempt -------------------------------------------------------------------------------------------------


def test_an_attempt_with_smaller_batches_goes_on_from_the_checkpoint(step: SessionStep, does: Any) -> None:
    does("run_out_of_memory_half_way")
    waiting = run(step)
    assert (waiting.status, waiting.batch_divisor) == (Status.QUEUED, 2)
    assert run(step).status == Status.COMPLETED
    assert "from half" in said(step)
    assert "Attempt 2 goes on from the checkpoint of an earlier one." in said(step)


def test_a_worker_that_goes_on_after_another_died_gets_the_checkpoint(step: SessionStep, does: Any) -> None:
    does("refuse_half_way")
    assert half_done(step).renew(timedelta(seconds=-1))
    assert sweeper.sweep().steps_recovered == 1
    run(step)
    assert "from half" in said(step)


def test_a_checkpoint_of_other_parameters_is_not_used(step: SessionStep, does: Any) -> None:
    does("refuse_half_way")
    waiting = kept(step)
    OptimizationSession.objects.filter(pk=step.session_id).update(seed=8)
    run(waiting)
    assert "anew" in said(step)
    assert "The checkpoint of an earlier attempt is of another request. The step starts anew." in said(step)


def test_a_checkpoint_of_other_data_is_not_used(step: SessionStep, does: Any, dataset: DataSet) -> None:
    does("refuse_half_way")
    waiting = kept(step)
    DataSet.objects.filter(pk=dataset.pk).update(blob=put_stream([b"other data"]))
    run(waiting)
    assert "anew" in said(step)


def test_a_step_that_is_asked_anew_starts_anew(step: SessionStep, does: Any, engineer: User) -> None:
    does("refuse_half_way")
    run(step)
    pipeline.advance(step.session_id)
    services.session_resume(OptimizationSession.objects.get(pk=step.session_id), engineer)
    run(step)
    assert [line for line in said(step) if line in ("anew", "from half")] == ["anew", "anew"]


def test_a_step_whose_checkpoint_is_missing_from_the_store_starts_anew(step: SessionStep, does: Any) -> None:
    does("refuse_half_way")
    waiting = kept(step)
    assert waiting.checkpoint is not None
    with open_blob(waiting.checkpoint) as file:
        Path(file.name).unlink()
    run(waiting)
    assert "anew" in said(step)
    assert any(line.startswith("The step starts anew, because its checkpoint cannot be read.") for line in said(step))


# --- how long it stays ------------------------------------------------------------------------------------------------


def test_the_store_keeps_a_checkpoint_as_long_as_another_attempt_may_follow(step: SessionStep) -> None:
    kept(step)
    collect_unreferenced(grace=AT_ONCE)
    assert files() == {KEPT}


@pytest.mark.parametrize("handler", ["run_out_of_memory_half_way", "refuse_half_way"])
def test_a_step_that_ends_gives_its_checkpoint_up(step: SessionStep, does: Any, handler: str) -> None:
    does(handler)
    run(kept(step))
    ended = run(step)
    assert ended.status in (Status.COMPLETED, Status.FAILED)
    assert (ended.checkpoint, ended.checkpoint_of) == (None, "")
    collect_unreferenced(grace=AT_ONCE)
    assert files() == set()


def test_a_cancelled_step_gives_its_checkpoint_up(step: SessionStep, engineer: User) -> None:
    kept(step)
    services.session_cancel(step.session, engineer)
    collect_unreferenced(grace=AT_ONCE)
    assert files() == set()


def test_a_running_step_that_is_cancelled_gives_its_checkpoint_up(step: SessionStep, does: Any, engineer: User) -> None:
    does("dawdle_with_a_checkpoint")

    def work() -> None:
        runner.run_step(step.pk)
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    wait_until(lambda: SessionStep.objects.filter(pk=step.pk, checkpoint__isnull=False).exists())
    services.session_cancel(step.session, engineer)
    thread.join(timeout=HANGS_S)
    ended = SessionStep.objects.get(pk=step.pk)
    assert (ended.status, ended.checkpoint) == (Status.CANCELLED, None)
    assert not list(scratch.root().iterdir())


def test_a_session_that_is_removed_takes_its_checkpoints_along(step: SessionStep, engineer: User) -> None:
    kept(step)
    session = step.session
    # As an installation may hold it whose step was queued while its session ended.
    OptimizationSession.objects.filter(pk=session.pk).update(status=Status.FAILED)
    services.session_delete(OptimizationSession.objects.get(pk=session.pk), engineer)
    collect_unreferenced(grace=AT_ONCE)
    assert files() == set()


# --- storing ----------------------------------------------------------------------------------------------------------


def test_a_slow_store_holds_nobody_up_and_the_last_checkpoint_is_the_one_that_stays(
    step: SessionStep, does: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    does("keep_one_after_the_other")
    stored: list[bytes] = []
    put_stream = checkpoints.put_stream

    def slow(chunks: Iterable[bytes]) -> Blob:
        # As long as the child has more to say: it is heard meanwhile.
        wait_until(lambda: LogEntry.objects.filter(message="All are kept.").exists())
        stored.append(b"".join(chunks))
        return put_stream(stored[-1:])

    monkeypatch.setattr(checkpoints, "put_stream", slow)
    waiting = run(step)
    assert stored == [b"1", b"5"]
    assert waiting.status == Status.QUEUED
    assert waiting.checkpoint is not None
    assert open_blob(waiting.checkpoint).read() == b"5"
    assert not list(scratch.root().iterdir())


def test_a_store_that_fails_costs_the_checkpoint_only(
    step: SessionStep, does: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    does("keep_and_succeed")

    def fail(chunks: Iterable[bytes]) -> Blob:
        raise ConnectionError("the store is away")

    monkeypatch.setattr(checkpoints, "put_stream", fail)
    assert run(step).status == Status.COMPLETED
    told = [line for line in said(step) if line.startswith("A checkpoint could not be stored")]
    assert told == [
        "A checkpoint could not be stored, so a next attempt would repeat more of the work. "
        "ConnectionError: the store is away"
    ]


def test_a_run_that_lost_its_claim_stores_no_checkpoint(
    step: SessionStep, does: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    does("dawdle_with_a_checkpoint")
    take = checkpoints.Keeper.take

    def taken_over(self: checkpoints.Keeper, event: Any) -> None:
        silent = SessionStep.objects.get(pk=step.pk)
        assert silent.hand_back(reason="silent")
        silent.refresh_from_db()
        assert silent.take("another", LEASE)
        take(self, event)

    monkeypatch.setattr(checkpoints.Keeper, "take", taken_over)
    ended = run(step)
    assert (ended.status, ended.worker, ended.checkpoint) == (Status.RUNNING, "another", None)
    assert files() == set()
    assert not list(scratch.root().iterdir())


def test_a_handler_cannot_have_a_file_of_the_worker_stored(step: SessionStep, does: Any) -> None:
    does("name_a_checkpoint_elsewhere")
    ended = run(step)
    assert (ended.status, ended.errored) == (Status.FAILED, True)
    assert "names a file outside its scratch folder" in ended.traceback
    assert files() == set()


# --- what it takes ----------------------------------------------------------------------------------------------------


def test_a_checkpoint_counts_as_used_by_its_team(step: SessionStep, client: Client, owner: User) -> None:
    team = step.session.team
    before = used_bytes(team)
    kept(step)
    assert used_bytes(team) == before + len(KEPT)
    assert services.storage_of(team).checkpoints_bytes == len(KEPT)
    client.force_login(owner)
    assert "Checkpoints of running steps" in client.get(reverse("optimization:storage")).content.decode()
