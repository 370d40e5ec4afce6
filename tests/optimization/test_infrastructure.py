"""A store that refuses, a full disk, a lost database, a library that crashes: none of them makes a verdict."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from django.core.files.storage import default_storage

from apps.agents.contracts.faults import Fault
from apps.agents.contracts.job import JobFailure
from apps.agents.contracts.state import Outcome, Status, StepKind
from apps.agents.packaging.signing import public_digest
from apps.models.errors import UploadEmpty
from apps.models.models import Blob
from apps.models.storage import open_blob, put_stream
from apps.models.trouble import trouble_of
from apps.optimization import jobs, runner, services
from apps.optimization.models import OptimizationSession, SessionStep
from tests.clients.test_verify import keys
from tests.optimization import crank, handlers

pytestmark = [
    pytest.mark.portable,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("stored", "small_handlers", "impatient"),
]

Start = Callable[..., OptimizationSession]


class ClientError(Exception):
    """As `botocore.exceptions.ClientError`, which is no kind of `OSError`."""

    __module__ = "botocore.exceptions"


REFUSALS = [
    OSError(errno.ENOSPC, "No space left on device"),
    ConnectionRefusedError("Connection refused"),
    TimeoutError("timed out"),
    ClientError("An error occurred (SlowDown) when calling the PutObject operation"),
]


def finished(session: OptimizationSession) -> OptimizationSession:
    crank.turn_until_quiet()
    session.refresh_from_db()
    return session


class Store:
    """Refuses as often as it is told to, then works."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception, times: int) -> None:
        self.left = times
        self._error = error
        self._put_file = runner.put_file
        monkeypatch.setattr(runner, "put_file", self)

    def __call__(self, *arguments: Any) -> Any:
        if self.left:
            self.left -= 1
            raise self._error
        return self._put_file(*arguments)


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
def test_errors_of_disk_store_and_network_are_known_as_such(error: Exception) -> None:
    trouble = trouble_of(error)
    assert trouble is not None
    assert trouble.reason


def test_a_store_that_refuses_for_a_moment_costs_a_try_and_no_more(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(monkeypatch, REFUSALS[1], times=1)
    session = finished(start())
    assert (session.status, session.outcome) == (Status.COMPLETED, Outcome.IMPROVED)
    assert [step.attempt for step in session.steps.all()].count(2) == 1
    assert session.log.filter(level="warning", message__contains="Attempt 2 follows").exists()


def test_no_package_is_delivered_unsigned_while_the_key_cannot_be_read(
    start: Start, settings: Any, tmp_path: Path
) -> None:
    settings.LATHE = replace(settings.LATHE, signing_key=tmp_path / "keys" / "key.pem")
    session = finished(start())
    assert (session.status, session.error_code) == (Status.FAILED, "package.signing_key_unusable")
    assert "which cannot be read: No such file or directory" in session.error
    assert session.package is None
    made = keys(tmp_path / "keys")
    services.session_resume(session, session.created_by)
    assert finished(session).status == Status.COMPLETED
    signed = session.steps.get(kind=StepKind.PACKAGE)
    assert signed.result["signed_by"] == public_digest(made.private)
    with open_blob(services.package_of(session).blob) as file, ZipFile(file) as archive:
        assert archive.namelist()[-1] == "model.sig"


def test_a_store_that_stays_away_fails_the_session_which_can_be_resumed(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(monkeypatch, REFUSALS[1], times=99)
    session = finished(start())
    assert (session.status, session.error_code) == (Status.FAILED, "step.infrastructure_failed")
    assert "Connection refused" in session.error
    assert "Resume the session" in session.error
    step = session.steps.get(status=Status.FAILED)
    assert (step.kind, step.fault, step.traceback) == (StepKind.OPTIMIZE, Fault.INFRASTRUCTURE, "")
    store.left = 0
    services.session_resume(session, session.created_by)
    assert finished(session).outcome == Outcome.IMPROVED


@pytest.mark.parametrize(
    ("kind", "handler", "code"),
    [
        (StepKind.OPTIMIZE, "fill_the_disk", "step.disk_failed"),
        (StepKind.EVALUATE, "always_out_of_memory", "step.out_of_memory"),
    ],
)
def test_a_candidate_that_a_full_disk_or_lack_of_memory_stopped_is_tried_when_the_session_is_resumed(
    start: Start, monkeypatch: pytest.MonkeyPatch, kind: StepKind, handler: str, code: str
) -> None:
    monkeypatch.setitem(jobs.HANDLERS, kind, f"tests.optimization.handlers:{handler}")
    session = finished(start())
    assert (session.status, session.error_code) == (Status.FAILED, code)
    monkeypatch.setitem(jobs.HANDLERS, kind, handlers.TABLE[kind])
    services.session_resume(session, session.created_by)
    assert finished(session).outcome == Outcome.IMPROVED


def test_a_library_that_crashes_is_tried_twice_and_its_candidate_is_left(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(jobs.HANDLERS, StepKind.OPTIMIZE, "tests.optimization.handlers:crash")
    session = finished(start())
    step = session.steps.get(key="c01/optimize")
    assert (step.status, step.attempt, step.fault) == (Status.FAILED, 2, Fault.CRASH)
    assert (session.status, session.outcome) == (Status.COMPLETED, Outcome.NOT_MEASURED)


def test_a_crash_on_the_original_ends_the_session_with_a_code_of_its_own(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(jobs.HANDLERS, StepKind.ANALYSE, "tests.optimization.handlers:crash")
    session = finished(start())
    assert (session.status, session.error_code) == (Status.FAILED, "step.killed")
    assert session.steps.get().attempt == 2


def test_a_store_that_cannot_hand_out_the_input_is_trouble_and_no_bug(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(blob: object) -> Any:
        raise REFUSALS[3]

    monkeypatch.setattr(jobs, "local_path", away)
    session = finished(start())
    assert (session.status, session.error_code) == (Status.FAILED, "step.infrastructure_failed")


def test_an_input_that_goes_away_while_it_is_read_is_no_fault_of_the_work(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a shared disk is unmounted: the step reads there, and finds nothing."""
    run_job, again = runner.run_job, runner.StepRun._again
    store = Path(default_storage.path("blobs"))
    away: list[Path] = []

    def unmounted(job: Any, **options: Any) -> Any:
        if job.handler == handlers.TABLE[StepKind.OPTIMIZE] and not away:
            away.append(store.rename(store.with_name("elsewhere")))
        return run_job(job, **options)

    def mounted(run: runner.StepRun, failure: JobFailure) -> None:
        away[0].rename(store)
        again(run, failure)

    monkeypatch.setattr(runner, "run_job", unmounted)
    monkeypatch.setattr(runner.StepRun, "_again", mounted)
    session = finished(start())
    assert session.outcome == Outcome.IMPROVED, session.error
    assert session.log.filter(level="warning", message__contains="The store failed, not the candidate").count() == 1


def test_what_is_no_trouble_stays_a_bug_or_a_refusal() -> None:
    assert trouble_of(ZeroDivisionError()) is None
    assert trouble_of(UploadEmpty()) is None


# --- files that were changed in the store -----------------------------------------------------------------------------


def spoil(blob: Blob) -> bytes:
    """Changes the bytes behind Lathe's back; what they were."""
    path = Path(default_storage.path(blob.storage_name))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    return whole


def test_a_model_that_was_changed_in_the_store_fails_the_session_until_it_is_uploaded_again(start: Start) -> None:
    session = start()
    whole = spoil(session.version.blob)
    finished(session)
    assert (session.status, session.error_code) == (Status.FAILED, "store.file_damaged")
    assert str(session.version) in session.error
    assert session.steps.get().attempt == 1
    put_stream([whole])
    services.session_resume(session, session.created_by)
    assert finished(session).outcome == Outcome.IMPROVED


@pytest.fixture
def made(start: Start) -> SessionStep:
    """The step that has made the candidate of a session that goes on."""
    session = start()
    for _ in range(40):
        crank.turn()
        if (step := session.steps.filter(key="c01/optimize", status=Status.COMPLETED).first()) is not None:
            return step
    raise AssertionError("nothing was made")


def lose(blob: Blob) -> None:
    """The database knows of the file, as after a restore from a backup, and the store does not have it."""
    Path(default_storage.path(blob.storage_name)).unlink()


@pytest.mark.parametrize("harm", [spoil, lose])
def test_an_artifact_that_the_store_has_lost_is_made_again(made: SessionStep, harm: Callable[[Blob], object]) -> None:
    assert made.artifact is not None
    session = made.session
    harm(made.artifact)
    assert finished(session).outcome == Outcome.IMPROVED
    again = session.steps.get(key="c01/optimize")
    assert (len(again.earlier_runs), again.artifact) == (1, made.artifact), "it ran twice and made the same bytes"
    assert services.package_of(session).blob.damaged_at is None
    assert session.log.filter(message__contains="It is made again: c01/optimize.").count() == 1


def test_a_store_that_loses_every_file_again_fails_the_session_in_the_end(
    made: SessionStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = made.session
    keep = SessionStep.complete

    def complete_and_lose(step: SessionStep, result: dict[str, Any]) -> bool:
        kept = keep(step, result)
        if step.key == "c01/optimize":
            step.refresh_from_db(fields=["artifact"])
            assert step.artifact is not None
            lose(step.artifact)
        return kept

    monkeypatch.setattr(SessionStep, "complete", complete_and_lose)
    assert made.artifact is not None
    lose(made.artifact)
    finished(session)
    assert (session.status, session.error_code) == (Status.FAILED, "store.file_missing")
    assert session.steps.get(key="c01/evaluate").attempt == 3
