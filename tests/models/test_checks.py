"""A check survives its worker: one run makes it, another takes it over, and trouble around it refuses no file."""

from __future__ import annotations

import errno
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from apps.agents.contracts.errors.steps import StepDiskFailed, StepKilled
from apps.agents.contracts.faults import Fault
from apps.agents.contracts.job import JobFailure, JobResult
from apps.agents.sandbox.process import JobCancelled, JobFailed
from apps.models import checks, clock, inspection, messages
from apps.models.inspection import TryAgain, inspect_version
from apps.models.models import InspectionStatus, ModelVersion
from tests.models.test_inspection import FOUND
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db

LEASE = timedelta(seconds=30)


@pytest.fixture
def pending(make_version: Callable[..., ModelVersion]) -> ModelVersion:
    return make_version(status=InspectionStatus.PENDING)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, timedelta | None]]:
    asked: list[tuple[int, timedelta | None]] = []
    monkeypatch.setattr(messages, "send_version", lambda pk, wait=None: asked.append((pk, wait)))
    return asked


def answer(monkeypatch: pytest.MonkeyPatch, outcome: Exception | dict[str, Any]) -> list[int]:
    """Puts `outcome` in place of the child; how often it was asked for."""
    asked: list[int] = []

    def run(*arguments: Any, **options: Any) -> JobResult:
        asked.append(1)
        if isinstance(outcome, Exception):
            raise outcome
        return JobResult(body=outcome)

    monkeypatch.setattr(inspection, "run_job", run)
    return asked


def lost(error: StepKilled | StepDiskFailed, fault: Fault) -> JobFailed:
    return JobFailed(
        JobFailure(code=error.code, message=error.message, expected=True, transient=True, fault=fault, traceback="T")
    )


def silent(version: ModelVersion) -> None:
    """Its worker took the check and was never heard of again."""
    assert version.take_check(LEASE)
    ModelVersion.objects.filter(pk=version.pk).update(check_expires_at=clock.after(timedelta(seconds=-1)))


def test_only_one_run_makes_a_check(pending: ModelVersion, monkeypatch: pytest.MonkeyPatch):
    asked = answer(monkeypatch, FOUND)
    assert ModelVersion.objects.get(pk=pending.pk).take_check(LEASE)
    assert not pending.take_check(LEASE)
    inspect_version(pending.pk)
    assert not asked
    assert checks.recover() == 0


def test_a_check_whose_worker_fell_silent_is_made_again(
    pending: ModelVersion, sent: list[Any], monkeypatch: pytest.MonkeyPatch
):
    answer(monkeypatch, FOUND)
    silent(pending)
    assert checks.recover() == 1
    assert sent == [(pending.pk, None)]
    inspect_version(pending.pk)
    pending.refresh_from_db()
    assert (pending.status, pending.check_claim) == ("ready", None)


def test_a_file_that_takes_its_worker_down_again_and_again_is_refused(pending: ModelVersion, sent: list[Any]):
    for _ in range(checks.MOST_TRIES):
        silent(pending)
        assert checks.recover() == 1
    pending.refresh_from_db()
    assert pending.refusal_code == "model.inspection_failed"
    assert len(sent) == checks.MOST_TRIES - 1


def test_a_worker_that_came_back_in_time_keeps_its_check(pending: ModelVersion):
    silent(pending)
    seen = ModelVersion.objects.get(pk=pending.pk)
    assert pending.renew_check(LEASE)
    assert not seen.put_off_check(stale=True)
    assert pending.renew_check(LEASE)


def test_another_hosts_clock_takes_no_check_away(pending: ModelVersion, monkeypatch: pytest.MonkeyPatch):
    assert pending.take_check(LEASE)
    ahead = timezone.now() + timedelta(minutes=1)
    monkeypatch.setattr(timezone, "now", lambda: ahead)
    assert checks.recover() == 0


@pytest.mark.parametrize(
    "trouble",
    [
        ConnectionRefusedError("the store"),
        OSError(errno.ENOSPC, "No space left on device"),
        lost(StepDiskFailed(reason="the disk is full"), Fault.INFRASTRUCTURE),
    ],
    ids=["store", "disk", "disk of the child"],
)
def test_trouble_around_a_check_leaves_the_file_pending_however_long_it_lasts(
    pending: ModelVersion, sent: list[Any], monkeypatch: pytest.MonkeyPatch, trouble: Exception
):
    asked = answer(monkeypatch, trouble)
    for _ in range(5):
        inspect_version(pending.pk)
        pending.refresh_from_db()
        assert (pending.status, pending.check_claim, pending.check_attempts) == ("pending", None, 0)
        assert pending.check_not_before is not None
        assert pending.check_not_before > clock.now()
        ModelVersion.objects.update(check_not_before=None)
    assert (len(asked), len(sent)) == (5, 5)
    answer(monkeypatch, FOUND)
    inspect_version(pending.pk)
    pending.refresh_from_db()
    assert pending.ready


def test_a_file_that_crashes_a_library_is_tried_twice(pending: ModelVersion, monkeypatch: pytest.MonkeyPatch):
    asked = answer(monkeypatch, lost(StepKilled(signal="SIGSEGV"), Fault.CRASH))
    with pytest.raises(TryAgain):
        inspect_version(pending.pk)
    inspect_version(pending.pk)
    pending.refresh_from_db()
    assert (pending.status, pending.refusal_code, len(asked)) == ("refused", "step.killed", 2)


def test_a_bug_lets_the_claim_go(pending: ModelVersion, monkeypatch: pytest.MonkeyPatch):
    answer(monkeypatch, LookupError("a bug"))
    with pytest.raises(LookupError):
        inspect_version(pending.pk)
    pending.refresh_from_db()
    assert (pending.status, pending.check_claim) == ("pending", None)


def test_a_lost_message_is_repeated_where_a_worker_is_idle(pending: ModelVersion, sent: list[Any]):
    ModelVersion.objects.update(check_asked_at=Now())
    assert checks.repeat_messages(workers=1) == 0, "it was asked for a moment ago"
    ModelVersion.objects.update(check_asked_at=clock.after(timedelta(minutes=-5)))
    assert checks.repeat_messages(workers=0) == 0, "nobody would take it"
    assert checks.repeat_messages(workers=1) == 1
    assert sent == [(pending.pk, None)]


def test_a_run_whose_check_was_taken_over_stops_and_answers_nothing(
    transactional_db: None, pending: ModelVersion, monkeypatch: pytest.MonkeyPatch, settings: Any
):
    """In a transaction of the test, the thread that keeps the claim would wait half a minute for SQLite's lock."""
    settings.PIPELINE_TIMING = {"heartbeat_s": 0.0}

    def taken_over(job: Any, *, should_stop: Callable[[], bool], **options: Any) -> JobResult:
        assert not should_stop()
        ModelVersion.objects.update(check_expires_at=clock.after(timedelta(seconds=-1)))
        assert ModelVersion.objects.get(pk=pending.pk).take_check(LEASE)
        assert should_stop()
        raise JobCancelled(job.handler)

    monkeypatch.setattr(inspection, "run_job", taken_over)
    inspect_version(pending.pk)
    pending.refresh_from_db()
    assert pending.pending
    assert pending.check_claim is not None


def test_fetching_a_large_file_keeps_the_claim(
    transactional_db: None, pending: ModelVersion, monkeypatch: pytest.MonkeyPatch, settings: Any
):
    settings.PIPELINE_TIMING = {"heartbeat_s": 0.02}
    assert pending.take_check(timedelta(seconds=1))
    before = pending.check_expires_at
    with checks.kept_alive(pending):
        wait_until(lambda: ModelVersion.objects.get(pk=pending.pk).check_expires_at != before)
