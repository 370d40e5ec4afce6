"""An installation that is updated keeps what it has: reports, and the audit trail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from apps.accounts.models import User
from apps.audit import trail
from apps.audit.models import AuditEvent
from apps.optimization.models import Candidate, EvaluationReport, OptimizationSession, SessionStep
from tests.optimization import material

pytestmark = pytest.mark.django_db(transaction=True)

COPIES = "0009_timing_of_a_worker"
ANALYSIS = material.ANALYSIS.model_dump(mode="json")
RANKED = {**material.evaluation(speedup=2.0).model_dump(mode="json"), "outcomes": {"right": "3f"}}
JUDGED = {**material.evaluation(speedup=3.0).model_dump(mode="json"), "outcomes": {"right": "7f"}}
NUMBERS = {"speedup": 3, "size_ratio": 4, "metric_drop": 0, "candidate_p50_ms": 1, "candidate_metric": 90}


@pytest.fixture
def migrate() -> Iterator[Callable[[str], Any]]:
    """Brings the tables of the app to a migration and returns the models as they were then; in the end to the last."""

    def to(name: str) -> Any:
        executor = MigrationExecutor(connection)
        return executor.migrate([("optimization", name)]).apps

    yield to
    call_command("migrate", "optimization", verbosity=0)


@pytest.fixture
def session(start: Callable[..., OptimizationSession], engineer: User) -> OptimizationSession:
    """With its analysis, and a candidate that was ranked and judged."""
    session = start()
    trail.record("session.told", actor=engineer, session=session, reason="One more event.")
    for key, kind, result in (
        ("analyse", "analyse", ANALYSIS),
        ("c01/evaluate", "evaluate", RANKED),
        ("c01/judge", "evaluate", JUDGED),
    ):
        candidate = "c01" if kind == "evaluate" else ""
        fields = {"candidate_key": candidate, "status": "completed", "result": result}
        SessionStep.objects.create(session=session, key=key, kind=kind, **fields)
    Candidate.objects.create(session=session, key="c01", **material.chain(("x", "One")), predicted={}, reason="")
    return session


def copied(old: Any, session: OptimizationSession, analysis: dict[str, Any], evaluation: dict[str, Any]) -> None:
    """The rows of reports as they were when each held its body."""
    candidate = old.get_model("optimization", "Candidate").objects.get(key="c01")
    old.get_model("optimization", "AnalysisReport").objects.create(session_id=session.pk, body=analysis)
    old.get_model("optimization", "EvaluationReport").objects.create(candidate=candidate, body=evaluation, **NUMBERS)


def read(session: OptimizationSession) -> tuple[dict[str, Any], EvaluationReport]:
    row = OptimizationSession.objects.get(pk=session.pk)
    return row.analysis.body, row.candidates.get().evaluation


def test_reports_find_the_steps_that_made_them(session: OptimizationSession, migrate: Callable[[str], Any]) -> None:
    copied(migrate(COPIES), session, ANALYSIS, {**JUDGED, "outcomes": None})
    call_command("migrate", "optimization", verbosity=0)
    analysis, evaluation = read(session)
    assert analysis == ANALYSIS
    assert evaluation.body == {**JUDGED, "outcomes": None}
    assert evaluation.step.key == "c01/judge"
    assert evaluation.speedup == 3
    assert session.steps.get(key="c01/judge").result == JUDGED, "what a step found stays whole"
    assert session.steps.count() == 3


def test_a_report_that_its_step_does_not_hold_stays_as_it_is(
    session: OptimizationSession, migrate: Callable[[str], Any]
) -> None:
    other = {**RANKED, "examples": 77, "outcomes": None}
    copied(migrate(COPIES), session, {**ANALYSIS, "batch_axes": {"x": 1}}, other)
    call_command("migrate", "optimization", verbosity=0)
    analysis, evaluation = read(session)
    assert analysis["batch_axes"] == {"x": 1}
    assert evaluation.body == other
    assert session.steps.get(key="c01/judge").result["outcomes"] == JUDGED["outcomes"]
    assert session.steps.get(key="c01/evaluate").result == RANKED


def test_a_report_whose_step_is_gone_gets_one(session: OptimizationSession, migrate: Callable[[str], Any]) -> None:
    old = migrate(COPIES)
    old.get_model("optimization", "SessionStep").objects.all().delete()
    copied(old, session, ANALYSIS, {**JUDGED, "outcomes": None})
    call_command("migrate", "optimization", verbosity=0)
    analysis, evaluation = read(session)
    assert analysis == ANALYSIS
    assert evaluation.body == {**JUDGED, "outcomes": None}
    assert set(session.steps.values_list("key", "status")) == {
        ("kept/analyse", "completed"),
        ("kept/c01/evaluate", "completed"),
    }


def test_the_way_back_fills_the_copies(session: OptimizationSession, migrate: Callable[[str], Any]) -> None:
    candidate = Candidate.objects.get(key="c01")
    judged = session.steps.get(key="c01/judge")
    EvaluationReport.objects.create(candidate=candidate, step=judged, **NUMBERS)
    old = migrate(COPIES)
    body = old.get_model("optimization", "EvaluationReport").objects.get().body
    assert body == {**JUDGED, "outcomes": None}


def test_the_audit_trail_stays_whole(session: OptimizationSession, migrate: Callable[[str], Any]) -> None:
    """Its code has moved to `apps.audit`, its tables have not: rows of before are the rows of now."""
    before = list(AuditEvent.objects.in_order().values_list("sequence", "digest"))
    old = migrate(COPIES)
    events = old.get_model("optimization", "AuditEvent").objects.order_by("sequence")
    assert list(events.values_list("sequence", "digest")) == before
    call_command("migrate", "optimization", verbosity=0)
    assert list(AuditEvent.objects.in_order().values_list("sequence", "digest")) == before
    assert len(before) > 1
    assert trail.verify() is None


def test_steps_from_before_start_from_one_model_and_their_files_are_not_taken_for_collected(
    session: OptimizationSession, migrate: Callable[[str], Any]
) -> None:
    migrate("0014_chains_hold_the_parameters")
    session.steps.filter(key="c01/judge").only("pk").update(parent_key="c01/optimize")
    call_command("migrate", "optimization", verbosity=0)

    judged, ranked = session.steps.get(key="c01/judge"), session.steps.get(key="c01/evaluate")
    assert (judged.parents, ranked.parents) == ({"model": "c01/optimize"}, {})
    assert (judged.further_parents, judged.collected_at) == ({}, None)
