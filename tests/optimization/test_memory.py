"""The history in the database: written when a session ends, read for the next one, and kept within the team."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.agents.contracts.criteria import Constraints, Criteria
from apps.agents.contracts.experience import Learned
from apps.agents.contracts.reports.constraints import ConstraintVerdict, Holds
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.state import Status, StepKind
from apps.agents.planning.conflicts.checking import conflicts_of
from apps.agents.planning.conflicts.values import Known
from apps.agents.planning.ordering import SUCCESS
from apps.models.models import DataSet, ModelVersion
from apps.optimization import memory, services
from apps.optimization.models import (
    AnalysisReport,
    Candidate,
    Experience,
    OptimizationSession,
    PipelineSettings,
    SessionFingerprint,
    SessionStep,
)
from apps.optimization.outcomes import keep_report
from tests.optimization import material
from tests.optimization.conftest import make_dataset, make_version

pytestmark = pytest.mark.django_db

KIND = "onnx-dynamic-int8"


def step_of(session: OptimizationSession, key: str, kind: StepKind, **fields: Any) -> SessionStep:
    now = timezone.now()
    times = {"started_at": now - timezone.timedelta(seconds=30), "finished_at": now}
    row = SessionStep.objects.create(
        session=session, key=key, kind=kind, queue="cpu", status=Status.COMPLETED, **fields
    )
    SessionStep.objects.filter(pk=row.pk).update(**times)
    return row


def ended(version: ModelVersion, dataset: DataSet, report: EvaluationReport | None = None) -> OptimizationSession:
    """A session that has ended with one measured candidate, predicted at 3×; its experience is not written yet."""
    session = OptimizationSession.objects.create(
        team=version.model.team,
        version=version,
        dataset=dataset,
        criteria_body=Criteria().model_dump(mode="json"),
        status=Status.COMPLETED,
        finished_at=timezone.now(),
    )
    analysis = step_of(session, "analyse", StepKind.ANALYSE, result=material.ANALYSIS.model_dump(mode="json"))
    AnalysisReport.objects.create(session=session, step=analysis)
    planned = material.CANDIDATE.model_dump(mode="json")
    Candidate.objects.create(
        session=session,
        key="c01",
        technique=KIND,
        title="Dynamic int8",
        steps=planned["steps"],
        predicted=planned["predicted"],
        reason="",
    )
    step_of(session, "c01/optimize", StepKind.OPTIMIZE, candidate_key="c01", technique=KIND)
    measured = (report or material.evaluation(speedup=1.5)).model_dump(mode="json")
    fields = {"candidate_key": "c01", "parent_key": "c01/optimize", "result": measured}
    keep_report(step_of(session, "c01/evaluate", StepKind.EVALUATE, **fields))
    return session


@pytest.fixture
def remembered(version: ModelVersion, dataset: DataSet) -> OptimizationSession:
    session = ended(version, dataset)
    memory.remember(session)
    return session


def lesson(version: ModelVersion, dataset: DataSet) -> float:
    """What a session that starts now is told about the candidate's technique."""
    found = memory.known_before(version, dataset, Criteria()).learned.lessons
    return found[KIND].speedup if KIND in found else 1.0


def test_an_experience_has_what_was_expected_and_what_was_measured(remembered: OptimizationSession) -> None:
    row = Experience.objects.get()
    assert row.kinds[0] == KIND
    assert (row.tables["speedup"], row.speedup["value"], row.verdict) == (3.0, 1.5, "holds")
    assert row.minutes == pytest.approx(1.0)
    assert row.chain == material.CANDIDATE.model_dump(mode="json")["steps"]
    assert row.fingerprint.libraries == material.MACHINE.libraries


def test_the_next_preview_starts_from_it_and_says_so(
    remembered: OptimizationSession, version: ModelVersion, dataset: DataSet
) -> None:
    assert lesson(version, dataset) < 1
    plan = services.session_preview(version, dataset, Criteria()).plan
    moved = [one.predicted for one in plan.candidates if one.technique == KIND]
    assert moved
    assert all("from 1 session on this network" in one.basis for one in moved)


def test_a_conflict_names_what_the_history_says_and_the_plan_does_not_repeat_it(
    remembered: OptimizationSession, version: ModelVersion, dataset: DataSet
) -> None:
    criteria = Criteria(allowed_techniques=(KIND,), constraints=Constraints(min_speedup=6.0))
    without = conflicts_of(criteria, Known(model=version.metadata.summary, dataset=dataset.described))
    with CaptureQueriesContext(connection) as asked:
        preview = services.session_preview(version, dataset, criteria)
    nearest, told = preview.plan.nearest, [one.message for one in preview.conflicts]
    assert nearest is not None
    assert sum(nearest.nearest_in_words in message for message in told) == 1
    assert nearest.nearest_in_words not in preview.plan.summary
    assert not {one.message for one in without} & set(told), "the tables alone promise more"
    read = [one["sql"] for one in asked if '"body"' in one["sql"] and "sessionfingerprint" in one["sql"]]
    assert len(read) == 1, "conflicts, plan and throughput share one reading of the history"


def test_remembering_again_changes_nothing(remembered: OptimizationSession) -> None:
    before = list(Experience.objects.values_list("key", "speedup", "minutes"))
    assert memory.remember(remembered) == 1
    assert list(Experience.objects.values_list("key", "speedup", "minutes")) == before


def test_the_command_fills_the_history_from_sessions_that_ended_before(version: ModelVersion, dataset: DataSet) -> None:
    ended(version, dataset)
    assert not Experience.objects.exists()
    out = StringIO()
    for _ in range(2):
        call_command("remember", stdout=out)
    assert Experience.objects.count() == 1
    assert "1 measured candidates of 1 ended sessions" in out.getvalue()


def test_what_a_busy_machine_could_not_time_has_no_speed(version: ModelVersion, dataset: DataSet) -> None:
    memory.remember(ended(version, dataset, material.evaluation_on_a_busy_machine()))
    assert Experience.objects.get().speedup is None
    assert lesson(version, dataset) == 1.0


def test_deleting_a_session_deletes_what_it_taught(
    remembered: OptimizationSession, engineer: User, version: ModelVersion, dataset: DataSet
) -> None:
    services.session_delete(remembered, engineer)
    assert not SessionFingerprint.objects.exists()
    assert not Experience.objects.exists()
    assert lesson(version, dataset) == 1.0


# --- whose it is -----------------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(other_team: Team, stranger: User) -> tuple[ModelVersion, DataSet]:
    """The same model and data in another team."""
    return make_version(other_team, stranger), make_dataset(other_team, stranger)


def test_another_team_learns_nothing_of_it(
    remembered: OptimizationSession, elsewhere: tuple[ModelVersion, DataSet]
) -> None:
    assert memory.known_before(*elsewhere, Criteria()).learned == Learned()


def test_teams_learn_from_each_other_once_the_operators_say_so(
    remembered: OptimizationSession, elsewhere: tuple[ModelVersion, DataSet]
) -> None:
    PipelineSettings.objects.update_or_create(pk=1, defaults={"share_experience": True})
    assert lesson(*elsewhere) < 1


def test_the_operators_switch_is_audited(admin_client: Client, version: ModelVersion) -> None:
    from apps.audit.models import AuditEvent

    current = PipelineSettings.current()
    answers = {
        "step_time_limit_minutes": current.step_time_limit_minutes,
        "breaker_failures": current.breaker_failures,
        "breaker_window_minutes": current.breaker_window_minutes,
        "breaker_cooldown_minutes": current.breaker_cooldown_minutes,
        "step_memory_limit_bytes": current.step_memory_limit_bytes,
        "max_attempts": current.max_attempts,
        "share_experience": "on",
    }
    response = admin_client.post(f"/admin/optimization/pipelinesettings/{current.pk}/change/", answers)
    assert response.status_code == 302
    assert PipelineSettings.current().share_experience
    event = AuditEvent.objects.filter(action="settings.changed").latest("sequence")
    assert event.data["share_experience"] == [False, True]


def test_the_page_and_the_api_compare_a_teams_own_predictions(
    remembered: OptimizationSession, engineer: User, stranger: User, client: Client
) -> None:
    client.force_login(engineer)
    page = client.get("/predictions/").content.decode()
    assert str(remembered) in page
    found = client.get("/api/v1/predictions/").json()
    (session,), (family,) = found["sessions"], found["families"]
    assert (session["session"], family["family"]) == (str(remembered.pk), "quantization")
    assert session["predicted"]["gain"] == pytest.approx(2.0, rel=1e-3)
    assert session["predicted"]["gain_measured"] == pytest.approx(0.5, rel=1e-3)
    assert session["predicted"]["loss_measured"] == pytest.approx(-0.2)
    client.force_login(stranger)
    assert str(remembered) not in client.get("/predictions/").content.decode()
    assert client.get("/api/v1/predictions/").json() == {"sessions": [], "families": [], "risks": []}
    assert client.get("/api/v1/predictions/?team=vision").status_code == 422


def lost(status: Holds) -> EvaluationReport:
    """A measured candidate of whose loss the examples say this."""
    limit = ConstraintVerdict(
        constraint="max_metric_drop_points",
        limit=1.0,
        measured=Estimate(value=0.5, low=0.1, high=0.9),
        unit="points",
        status=status,
        margin=0.5,
        sentence="As made up for this test.",
    )
    return material.evaluation().model_copy(update={"constraints": (limit,)})


def test_predicted_risks_stand_beside_the_share_that_really_lost_too_much(
    client: Client, engineer: User, version: ModelVersion, dataset: DataSet
) -> None:
    for status in (Holds.HOLDS, Holds.HOLDS, Holds.HOLDS, Holds.VIOLATED, Holds.INCONCLUSIVE):
        memory.remember(ended(version, dataset, lost(status)))
    memory.remember(ended(version, dataset, material.evaluation().model_copy(update={"constraints": ()})))
    Experience.objects.filter(loss_verdict=Holds.INCONCLUSIVE).update(
        predicted={**Experience.objects.all()[0].predicted, "risk": "high"}
    )
    client.force_login(engineer)
    risk = material.CANDIDATE.predicted.risk
    usual, high = client.get("/api/v1/predictions/").json()["risks"]
    told = {"risk": risk, "predicted": round(1 - SUCCESS[risk], 4), "candidates": 4, "broke": 1, "undecided": 0}
    assert usual == {**told, "measured": 0.25}
    told = {"risk": "high", "predicted": 0.65, "candidates": 1, "broke": 0, "undecided": 1}
    assert high == {**told, "measured": None}
    page = client.get("/predictions/").content.decode().partition('id="error-risks"')[2]
    row = page.partition(f'<tr><th scope="row">{risk}</th>')[2].partition("</tr>")[0]
    assert re.findall(r">([^<]+)</td>", row) == ["4", "1", "0", f"{100 * (1 - SUCCESS[risk]):.0f} %", "25 %"]


def test_of_rows_from_before_risks_were_kept_none_is_shown(
    client: Client, engineer: User, version: ModelVersion, dataset: DataSet
) -> None:
    memory.remember(ended(version, dataset, lost(Holds.HOLDS)))
    row = Experience.objects.get()
    row.predicted.pop("risk")
    row.save()
    client.force_login(engineer)
    assert client.get("/api/v1/predictions/").json()["risks"] == []
    assert "error-risks" not in client.get("/predictions/").content.decode()


def test_of_a_long_history_little_is_read(version: ModelVersion, dataset: DataSet) -> None:
    """1,000 sessions with ten candidates each: what is not among the most similar stays in the database."""
    memory.remember(ended(version, dataset))
    template = SessionFingerprint.objects.get()
    example = Experience.objects.get()
    request = {"version": version, "dataset": dataset, "criteria_body": Criteria().model_dump(mode="json")}
    ended_now = {"status": Status.COMPLETED, "finished_at": timezone.now()}
    sessions = OptimizationSession.objects.bulk_create(
        OptimizationSession(team=version.model.team, **request, **ended_now) for _ in range(999)
    )
    sizes = [50_000 + 100 * number for number in range(999)]
    rows = SessionFingerprint.objects.bulk_create(
        SessionFingerprint(
            session=session, body={**template.body, "parameters": size}, parameters=size, measured_at=timezone.now()
        )
        for session, size in zip(sessions, sizes, strict=True)
    )
    fields = {
        name: getattr(example, name)
        for name in ("kinds", "family", "chain", "tables", "predicted", "speedup", "size_ratio", "drop", "verdict")
    }
    Experience.objects.bulk_create(
        Experience(fingerprint=row, key=f"c{n:02}", **fields) for row in rows for n in range(10)
    )
    with CaptureQueriesContext(connection) as asked:
        found = memory.known_before(version, dataset, Criteria())
    assert found.learned.lessons[KIND].sessions == memory.MOST_SESSIONS
    assert len(asked) <= 11, [query["sql"][:200] for query in asked]
