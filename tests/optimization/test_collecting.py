"""Intermediate files go while a session runs, what it hands out stays, and what is read after all is made again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.db import OperationalError
from django.utils import timezone

from apps.accounts.models import User
from apps.agents.contracts.state import Outcome, Status, StepKind
from apps.models.collection import collect
from apps.models.models import Blob
from apps.optimization import collecting, jobs, pipeline, services
from apps.optimization.models import OptimizationSession, SessionStep
from tests.optimization import crank

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("stored", "small_handlers", "impatient")]

Start = Callable[..., OptimizationSession]
LINKS = ("onnx-float16", "onnx-graph")
"""Two that lead to the one candidate."""


@pytest.fixture
def session(start: Start, monkeypatch: pytest.MonkeyPatch) -> OptimizationSession:
    """Its one candidate starts from graph optimization and also reads float16."""
    monkeypatch.setitem(jobs.HANDLERS, StepKind.PLAN, "tests.optimization.handlers:plan_with_a_teacher")
    monkeypatch.setitem(jobs.HANDLERS, StepKind.OPTIMIZE, "tests.optimization.handlers:learn_from_others")
    return start()


@pytest.fixture
def finished(session: OptimizationSession) -> OptimizationSession:
    return at_rest(session)


def at_rest(session: OptimizationSession) -> OptimizationSession:
    crank.turn_until_quiet()
    session.refresh_from_db()
    assert (session.status, session.outcome) == (Status.COMPLETED, Outcome.IMPROVED), session.error
    return session


def until(session: OptimizationSession, key: str, status: Status) -> None:
    """Turns until the step called `key`, or of that technique, is there."""
    for _ in range(60):
        if any(key in (step.key, step.technique) and step.status == status for step in session.steps.all()):
            return
        crank.turn()
    raise AssertionError(f"{key} was never {status}")


def link(session: OptimizationSession, technique: str) -> SessionStep:
    return session.steps.get(kind=StepKind.OPTIMIZE, technique=technique)


def collected(session: OptimizationSession) -> set[str]:
    return set(session.steps.exclude(collected_at=None).values_list("technique", flat=True))


# --- what goes, and what stays ----------------------------------------------------------------------------------------


def test_links_that_only_led_to_candidates_go_and_candidates_stay(finished: OptimizationSession) -> None:
    assert collected(finished) == set(LINKS)
    for technique in LINKS:
        assert link(finished, technique).artifact is None
    assert finished.steps.get(key="c01/optimize").artifact is not None


def test_they_go_while_the_session_still_runs(session: OptimizationSession) -> None:
    until(session, "package", Status.QUEUED)
    session.refresh_from_db()
    assert session.is_active
    assert collected(session) == set(LINKS)


def test_nothing_goes_while_the_candidate_is_being_made(session: OptimizationSession) -> None:
    until(session, "c01/optimize", Status.QUEUED)
    assert collected(session) == set()
    assert link(session, "onnx-graph").artifact is not None


def test_the_store_removes_the_file_and_the_package_and_the_promotion_work(
    finished: OptimizationSession, engineer: User
) -> None:
    kept = finished.steps.get(key="c01/optimize").artifact
    assert kept is not None
    Blob.objects.update(touched_at=timezone.now() - timedelta(days=30))
    collect(grace=timedelta(0))

    for technique in LINKS:
        assert not Blob.objects.filter(sha256=link(finished, technique).result["digest"]).exists()
    assert services.package_of(finished).blob.size_bytes > 0
    assert services.promote(finished, engineer).version.blob == kept


def test_a_crash_before_the_end_of_the_move_loses_nothing(
    session: OptimizationSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = collecting.let_go

    def go_and_crash(*arguments: object) -> None:
        go(*arguments)  # type: ignore[arg-type]
        if collected(session):
            raise OperationalError("the database went away")

    monkeypatch.setattr(collecting, "let_go", go_and_crash)
    with pytest.raises(OperationalError):
        crank.turn_until_quiet()
    assert collected(session) == set()
    assert all(link(session, technique).artifact for technique in LINKS)

    monkeypatch.undo()
    monkeypatch.setattr(jobs, "HANDLERS", {**jobs.HANDLERS, StepKind.PACKAGE: "tests.optimization.handlers:package"})
    pipeline.advance(session.pk)
    assert collected(session) == set(LINKS)


# --- what is read after all -------------------------------------------------------------------------------------------


def test_a_step_that_is_asked_for_has_its_collected_input_made_again(session: OptimizationSession) -> None:
    until(session, "onnx-graph", Status.COMPLETED)
    graph = link(session, "onnx-graph")
    collecting.let_go(session, [graph.key])
    assert not session.steps.filter(key="c01/optimize").exists()

    at_rest(session)

    graph.refresh_from_db()
    assert len(graph.earlier_runs) == 1, "it ran twice"
    assert collected(session) == set(LINKS)


def test_a_resumed_session_repeats_no_step_whose_file_it_let_go(finished: OptimizationSession, engineer: User) -> None:
    ran = {one.key: one.started_at for one in finished.steps.exclude(kind=StepKind.PACKAGE)}
    _fail(finished, "package")

    services.session_resume(finished, engineer)
    at_rest(finished)

    assert {one.key: one.started_at for one in finished.steps.exclude(kind=StepKind.PACKAGE)} == ran
    assert collected(finished) == set(LINKS)


def test_a_lost_candidate_is_made_again_from_inputs_that_were_let_go(
    finished: OptimizationSession, engineer: User
) -> None:
    made = finished.steps.get(key="c01/optimize")
    assert made.artifact is not None
    Path(default_storage.path(made.artifact.storage_name)).unlink()
    Blob.objects.filter(pk=made.artifact_id).update(damaged_at=timezone.now())
    _fail(finished, "package")

    services.session_resume(finished, engineer)
    queued = set(finished.steps.filter(status=Status.QUEUED).values_list("key", flat=True))
    assert queued == {"package", "c01/optimize", *(link(finished, one).key for one in LINKS)}
    at_rest(finished)

    again = finished.steps.get(key="c01/optimize")
    assert again.artifact == made.artifact, "the same bytes"
    assert collected(finished) == set(LINKS)


def _fail(session: OptimizationSession, key: str) -> None:
    session.steps.filter(key=key).update(status=Status.FAILED)
    OptimizationSession.objects.filter(pk=session.pk).update(status=Status.FAILED, verdict=None, outcome="")
    session.refresh_from_db()
