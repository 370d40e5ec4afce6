"""A session from its start to its verdict: real children, the real manager, messages turned by hand."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import User
from apps.agents.contracts.state import CandidateStatus, Decision, Outcome, Phase, SessionState, Status, StepKind
from apps.agents.session.manager import OptimizationManager
from apps.audit import trail
from apps.audit.models import AuditEvent
from apps.models import approvals
from apps.models.models import AliasRequest, Blob
from apps.models.services import move_alias
from apps.models.storage import open_blob
from apps.optimization import jobs, pipeline, scratch, services
from apps.optimization.errors.results import NothingToPromote, NotPromoted
from apps.optimization.models import OptimizationSession, SessionStep
from tests.optimization import crank

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("stored", "small_handlers", "impatient")]

Start = Callable[..., OptimizationSession]


def finished(session: OptimizationSession) -> OptimizationSession:
    crank.turn_until_quiet()
    session.refresh_from_db()
    return session


def test_a_session_comes_to_its_verdict(start: Start) -> None:
    session = finished(start())
    assert (session.status, session.outcome, session.error) == (Status.COMPLETED, Outcome.IMPROVED, "")
    assert (session.progress, session.forecast) == (1.0, None)
    assert session.verdict is not None
    assert session.verdict["candidate"] == "c01"
    assert session.candidates.get(key="c01").status == CandidateStatus.SELECTED
    assert session.candidates.get(key="c01").evaluation.speedup == 3.0
    assert {step.status for step in session.steps.all()} == {Status.COMPLETED}
    assert not list(scratch.root().iterdir())


def test_what_a_session_found_is_one_report(start: Start) -> None:
    session = finished(start())
    report = services.report(session)
    assert report.winner is not None
    assert (report.winner.key, report.outcome, report.seed) == ("c01", Outcome.IMPROVED, 7)
    assert report.winner.evaluation is not None
    assert report.winner.predicted.speedup == report.winner.evaluation.latency.speedup.value == 3.0
    assert report.plan is not None
    assert report.model_digest == session.version.blob_id
    assert services.SessionReport.model_validate_json(report.model_dump_json()) == report


@pytest.mark.portable
def test_the_package_carries_report_recipe_and_artifact(start: Start) -> None:
    session = finished(start())
    with open_blob(services.package_of(session).blob) as file, zipfile.ZipFile(file) as archive:
        assert {"model", "original", "report_json", "report_html", "recipe"} <= set(archive.namelist())
        page = archive.read("report_html").decode()
        recipe = archive.read("recipe").decode()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert session.version.blob_id in recipe


def test_every_decision_is_told_once_with_its_reason(start: Start) -> None:
    session = finished(start())
    decisions = AuditEvent.objects.filter(session_id=session.pk).exclude(key="")
    assert {"planned/c01", "judged/c01", "verdict"} <= {event.key for event in decisions}
    assert all(event.reason and event.actor_kind == "agent" for event in decisions)
    before = AuditEvent.objects.count()
    pipeline.advance(session.pk)
    assert AuditEvent.objects.count() == before
    assert trail.verify() is None


def test_asking_twice_makes_one_step(start: Start) -> None:
    session = start()
    pipeline.advance(session.pk)
    pipeline.advance(session.pk)
    assert list(session.steps.values_list("key", flat=True)) == ["analyse"]


def test_a_session_that_is_gone_is_no_error(session: OptimizationSession) -> None:
    pk = session.pk
    session.delete()
    pipeline.advance(pk)


def test_the_log_and_the_progress_of_a_step_are_kept(start: Start) -> None:
    session = finished(start())
    assert session.log.filter(step_key="analyse", message="A layer was found.").exists()
    assert session.log.filter(step_key="analyse", message="layers = 2").exists()


@pytest.mark.portable
def test_a_failed_analysis_ends_the_session_with_its_sentence(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(jobs.HANDLERS, StepKind.ANALYSE, "tests.optimization.handlers:refuse")
    session = finished(start())
    assert (session.status, session.error_code) == (Status.FAILED, "test.unfit")
    assert session.error == "This cannot be done with a teapot."
    assert session.steps.get().traceback == ""


def test_a_failed_technique_costs_its_candidate_and_not_the_session(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(jobs.HANDLERS, StepKind.OPTIMIZE, "tests.optimization.handlers:refuse")
    session = finished(start())
    assert (session.status, session.outcome) == (Status.COMPLETED, Outcome.NOT_MEASURED)
    assert session.verdict is not None
    assert "c01 failed: This cannot be done with a teapot." in session.verdict["reason"]
    assert session.candidates.get(key="c01").status == CandidateStatus.FAILED
    with pytest.raises(NothingToPromote):
        services.promote(session, session.created_by)


def test_our_own_bug_is_kept_for_the_operators_and_the_member_reads_a_sentence(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(jobs.HANDLERS, StepKind.ANALYSE, "tests.optimization.handlers:stumble")
    session = finished(start())
    step = session.steps.get()
    assert (step.status, step.error_code, step.errored) == (Status.FAILED, "step.errored", True)
    assert "ZeroDivisionError" in step.traceback
    assert "ZeroDivisionError" not in session.error


def test_a_result_that_is_no_report_is_our_bug(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(jobs.HANDLERS, StepKind.ANALYSE, "tests.optimization.handlers:say_nonsense")
    session = finished(start())
    assert session.steps.get().error_code == "step.errored"
    assert session.status == Status.FAILED


def test_a_bug_of_the_manager_ends_the_session_and_leaves_a_traceback(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(self: OptimizationManager, state: SessionState) -> Decision:
        raise LookupError("nothing there")

    monkeypatch.setattr(OptimizationManager, "next", stumble)
    session = finished(start())
    assert (session.status, session.error_code) == (Status.FAILED, "session.errored")
    assert "LookupError" in session.traceback
    assert "LookupError" not in session.error


def test_a_manager_that_asks_for_nothing_does_not_leave_a_session_waiting_for_ever(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OptimizationManager, "next", lambda self, state: Decision(phase=Phase.ANALYSING, progress=0))
    session = finished(start())
    assert (session.status, session.error_code) == (Status.FAILED, "session.errored")


@pytest.mark.portable
def test_memory_that_ran_out_is_tried_again_with_smaller_batches(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(jobs.HANDLERS, StepKind.ANALYSE, "tests.optimization.handlers:swallow_memory")
    session = finished(start())
    step = session.steps.get(key="analyse")
    assert (step.status, step.attempt, step.batch_divisor) == (Status.COMPLETED, 2, 2)
    assert session.log.filter(level="warning", message__contains="smaller batches").exists()


@pytest.mark.portable
def test_tries_end(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(jobs.HANDLERS, StepKind.ANALYSE, "tests.optimization.handlers:always_out_of_memory")
    session = finished(start())
    step = session.steps.get()
    assert (step.status, step.attempt, step.error_code) == (Status.FAILED, 3, "step.out_of_memory")
    assert session.status == Status.FAILED


def test_each_try_waits_twice_as_long_as_the_one_before(
    start: Start, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.PIPELINE_TIMING = {"backoff_s": 5.0}
    monkeypatch.setitem(jobs.HANDLERS, StepKind.ANALYSE, "tests.optimization.handlers:always_out_of_memory")
    session = start()
    waits = []
    for _ in range(2):
        crank.turn("default")
        crank.turn("cpu")
        step = session.steps.get()
        assert step.not_before is not None
        waits.append(round((step.not_before - timezone.now()).total_seconds()))
        assert not step.take("somebody", timedelta(seconds=30)), "it is not due yet"
        SessionStep.objects.update(not_before=None)
    assert waits == [5, 10]


def test_an_artifact_is_referred_to_before_its_step_is_complete(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []
    complete = SessionStep.complete

    def watched(self: SessionStep, result: dict[str, Any]) -> bool:
        seen.append((self.kind, Blob.objects.filter(steps=self.pk).count()))
        return complete(self, result)

    monkeypatch.setattr(SessionStep, "complete", watched)
    finished(start())
    assert ("optimize", 1) in seen


def test_promotion_makes_a_version_and_moves_the_alias_and_back(start: Start, engineer: User) -> None:
    session = finished(start())
    model = session.version.model
    move_alias(model, "production", session.version, engineer)

    version = services.promote(session, engineer).version
    assert services.promote(session, engineer).version == version, "promoting twice makes one version"
    assert (version.number, version.parent, version.source_session) == (2, session.version, session.pk)
    assert model.aliases.get(name="production").version == version

    services.promotion_rollback(session, engineer, "worse on night images")
    assert model.aliases.get(name="production").version == session.version
    assert AuditEvent.objects.get(action="session.promotion_rolled_back").reason == "worse on night images"
    with pytest.raises(NotPromoted):
        services.promotion_rollback(session, engineer, "again")


def test_a_promotion_to_a_protected_alias_waits_for_a_second_member(
    start: Start, engineer: User, owner: User, client: Client
) -> None:
    session = finished(start())
    alias = move_alias(session.version.model, "production", session.version, owner)
    approvals.protect(alias, owner, protected=True)
    client.force_login(engineer)
    page = client.post(reverse("optimization:session-promote", args=[session.pk]), {"alias": "production"}, follow=True)
    asked = AliasRequest.objects.get()
    assert f'id="request-{asked.pk}"' in page.content.decode()
    assert (asked.session, asked.to_version.source_session) == (session.pk, session.pk)
    assert not AuditEvent.objects.filter(action="session.promoted").exists()

    approvals.approve(asked, owner, "read the report")
    alias.refresh_from_db()
    assert alias.version == asked.to_version
    promoted = AuditEvent.objects.get(action="session.promoted")
    assert (promoted.actor, promoted.session_id, promoted.data) == (owner.email, session.pk, {"alias": "production"})

    back = services.promotion_rollback(session, owner, "worse on night images")
    assert isinstance(back, AliasRequest)
    approvals.approve(back, engineer, "seen it too")
    alias.refresh_from_db()
    assert alias.version == session.version
    assert AuditEvent.objects.get(action="session.promotion_rolled_back").reason == "worse on night images"


@pytest.mark.portable
def test_only_engineers_promote(start: Start, viewer: User) -> None:
    session = finished(start())
    with pytest.raises(PermissionDenied):
        services.promote(session, viewer)
    with pytest.raises(PermissionDenied):
        services.promotion_rollback(session, viewer, "no")
