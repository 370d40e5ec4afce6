"""Deleting sessions, and with them models and data sets; letting go by a team's retention; quotas."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import BytesIO, StringIO

import pytest
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import Membership, Role, Team, User
from apps.agents.contracts.state import Outcome, Status, StepKind
from apps.audit.models import AuditEvent
from apps.audit.trail import verify
from apps.models import services as store
from apps.models.errors import ModelInUse, StoreQuotaExceeded
from apps.models.models import Blob, DataSet, ModelVersion, StoreQuota, StoreSettings
from apps.models.storage import collect_unreferenced, put_stream
from apps.models.usage import used_bytes
from apps.optimization import actors, retention, services
from apps.optimization.admin import PipelineSettingsForm
from apps.optimization.models import LogEntry, OptimizationSession, PipelineSettings, RetentionPolicy, SessionStep
from apps.optimization.retention import Removal
from tests.door import Door
from tests.models.conftest import linear_model, upload_of

pytestmark = pytest.mark.django_db


def ended(
    session: OptimizationSession, *, days_ago: float = 0, status: Status = Status.COMPLETED
) -> OptimizationSession:
    """The session some days after it has ended: two candidates, one of them handed over, a package, a log."""
    for key in ("c01", "c02"):
        artifact = put_stream([f"{session.pk} {key}".encode() * 10])
        SessionStep.objects.create(
            session=session,
            key=f"{key}/optimize",
            kind=StepKind.OPTIMIZE,
            status=Status.COMPLETED,
            artifact=artifact,
            artifact_filename=f"{key}.onnx",
        )
    package = put_stream([f"{session.pk} package".encode() * 10])
    if status is Status.COMPLETED:
        SessionStep.objects.create(
            session=session,
            key="package",
            kind=StepKind.PACKAGE,
            status=status,
            parent_key="c01/optimize",
            artifact=package,
            artifact_filename="package.zip",
        )
    LogEntry.objects.bulk_create([LogEntry(session=session, message=f"line {number}") for number in range(5)])
    OptimizationSession.objects.filter(pk=session.pk).update(
        status=status,
        outcome=Outcome.IMPROVED if status is Status.COMPLETED else "",
        package=package if status is Status.COMPLETED else None,
        finished_at=timezone.now() - timedelta(days=days_ago),
    )
    session.refresh_from_db()
    return session


def files() -> set[str]:
    collect_unreferenced(grace=timedelta(seconds=-1))
    return set(Blob.objects.values_list("pk", flat=True))


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_a_session_goes_with_all_it_has_and_the_books_stay(session: OptimizationSession, engineer: User) -> None:
    ended(session)
    kept = set(session.steps.values_list("artifact", flat=True))
    assert kept <= files()
    services.session_delete(session, engineer)
    assert not OptimizationSession.objects.exists()
    assert not LogEntry.objects.exists()
    assert not kept & files()
    actions = list(AuditEvent.objects.filter(session_id=session.pk).in_order().values_list("action", flat=True))
    assert actions == ["session.started", "session.deleted"]
    assert verify() is None


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING])
def test_a_session_that_runs_stays(session: OptimizationSession, engineer: User, door: Door, status: Status) -> None:
    OptimizationSession.objects.filter(pk=session.pk).update(status=status)
    answer = door.client.delete(f"/api/v1/sessions/{session.pk}/")
    assert (answer.status_code, answer.json()["code"]) == (409, "session.move_refused")
    assert OptimizationSession.objects.exists()


def test_a_version_that_was_promoted_outlives_its_session(session: OptimizationSession, engineer: User) -> None:
    ended(session)
    artifact = session.steps.get(key="c01/optimize").artifact
    assert artifact is not None
    promoted = ModelVersion.objects.create(
        model=session.version.model, number=2, blob=artifact, filename="x.onnx", source_session=session.pk
    )
    OptimizationSession.objects.filter(pk=session.pk).update(result_version=promoted)
    services.session_delete(session, engineer)
    assert artifact.pk in files()
    assert ModelVersion.objects.get(pk=promoted.pk).source_session == session.pk


def test_the_page_deletes_and_a_link_to_what_is_gone_says_so(
    client: Client, session: OptimizationSession, engineer: User, stranger: User
) -> None:
    ended(session)
    client.force_login(engineer)
    page = client.get(session.get_absolute_url()).content.decode()
    address = reverse("optimization:session-delete", args=[session.pk])
    assert address in page
    assert client.post(address, follow=True).status_code == 200
    gone = client.get(session.get_absolute_url())
    assert gone.status_code == 410
    assert f"by {engineer.email}" in gone.content.decode()
    client.force_login(stranger)
    assert client.get(session.get_absolute_url()).status_code == 404


def test_a_model_goes_with_its_sessions_when_that_is_asked_for(session: OptimizationSession, engineer: User) -> None:
    ended(session)
    model = session.version.model
    with pytest.raises(ModelInUse, match=r"Delete them first, or delete the model together with its sessions\."):
        store.delete_model(model, engineer)
    assert OptimizationSession.objects.exists()
    store.delete_model(model, engineer, with_sessions=True)
    assert not OptimizationSession.objects.exists()
    assert not ModelVersion.objects.exists()
    told = list(AuditEvent.objects.in_order().values_list("action", flat=True))
    assert told[-2:] == ["session.deleted", "model.deleted"]


def test_nothing_goes_where_one_of_its_sessions_runs(
    session: OptimizationSession, start: Callable[..., OptimizationSession], engineer: User, door: Door
) -> None:
    ended(session)
    start()
    model = session.version.model
    answer = door.client.delete(f"/api/v1/models/{model.pk}/?with_sessions=true")
    assert (answer.status_code, answer.json()["code"]) == (409, "session.move_refused")
    assert OptimizationSession.objects.count() == 2
    assert not AuditEvent.objects.filter(action="session.deleted").exists()


@pytest.mark.parametrize("what", ["models", "versions", "datasets"])
def test_the_api_takes_sessions_along_where_it_is_told_to(session: OptimizationSession, door: Door, what: str) -> None:
    ended(session)
    row = {"models": session.version.model, "versions": session.version, "datasets": session.dataset}[what]
    address = f"/api/v1/{what}/{row.pk}/"
    assert door.client.delete(address).status_code == 409
    assert door.client.delete(f"{address}?with_sessions=perhaps").status_code == 400
    assert door.client.delete(f"{address}?with_sessions=true").status_code == 204
    assert not OptimizationSession.objects.exists()
    assert not type(row)._default_manager.filter(pk=row.pk).exists()


def test_the_pages_ask_with_how_many_sessions(client: Client, session: OptimizationSession, engineer: User) -> None:
    ended(session)
    client.force_login(engineer)
    for row in (session.version.model, session.version, session.dataset):
        assert "also delete the 1 session that uses it" in client.get(row.get_absolute_url()).content.decode()
    client.post(reverse("models:dataset-delete", args=[session.dataset_id]), {"with_sessions": "on"})
    assert not DataSet.objects.exists()
    assert not OptimizationSession.objects.exists()


# --- by retention ----------------------------------------------------------------------------------------------------


@pytest.fixture
def policy(team: Team) -> RetentionPolicy:
    return RetentionPolicy.objects.create(team=team, artifact_days=7, log_days=30, session_days=90)


def test_the_dry_run_says_what_the_real_one_does(
    policy: RetentionPolicy, start: Callable[..., OptimizationSession], team: Team
) -> None:
    young, week, month, old = (ended(start(), days_ago=days) for days in (6, 8, 31, 91))
    running = start()
    promised = retention.would_go(team)
    assert OptimizationSession.objects.count() == 5
    assert retention.apply(policy) == promised
    assert (promised.sessions, promised.artifacts, promised.log_lines) == (1, 2, 5)
    assert promised.artifact_bytes == sum(len(f"{one.pk} c02".encode()) * 10 for one in (week, month))
    assert set(OptimizationSession.objects.all()) == {young, week, month, running}
    assert not old.steps.exists()
    kept = {one.pk: set(one.steps.exclude(artifact=None).values_list("key", flat=True)) for one in (young, week, month)}
    assert kept[young.pk] == {"c01/optimize", "c02/optimize", "package"}
    assert kept[week.pk] == kept[month.pk] == {"c01/optimize", "package"}
    assert (week.log.count(), month.log.count()) == (5, 0)
    assert retention.apply(policy) == Removal()


def test_what_went_is_in_the_books(policy: RetentionPolicy, start: Callable[..., OptimizationSession]) -> None:
    ended(start(), days_ago=91)
    retention.apply(policy)
    retention.apply(policy)
    told = AuditEvent.objects.filter(action__in=("session.deleted", "retention.applied")).in_order()
    assert [(event.action, event.actor) for event in told] == [
        ("session.deleted", "Lathe"),
        ("retention.applied", "Lathe"),
    ]
    assert told.last().data["sessions"] == 1  # type: ignore[union-attr]


def test_without_days_everything_is_kept(team: Team, start: Callable[..., OptimizationSession]) -> None:
    ended(start(), days_ago=10_000)
    policy = RetentionPolicy.objects.create(team=team)
    assert retention.would_go(team) == retention.apply(policy) == Removal()


def test_another_teams_sessions_stay(other_team: Team, start: Callable[..., OptimizationSession]) -> None:
    ended(start(), days_ago=91)
    theirs = RetentionPolicy.objects.create(team=other_team, session_days=1, artifact_days=1, log_days=1)
    assert retention.apply(theirs) == Removal()


def test_a_failed_session_that_is_resumed_makes_again_what_went(
    policy: RetentionPolicy, start: Callable[..., OptimizationSession], engineer: User
) -> None:
    session = ended(start(), days_ago=8, status=Status.FAILED)
    assert retention.apply(policy).artifacts == 2
    services.session_resume(session, engineer)
    assert set(session.steps.values_list("status", flat=True)) == {Status.QUEUED}


def test_the_command_says_and_does(policy: RetentionPolicy, start: Callable[..., OptimizationSession]) -> None:
    ended(start(), days_ago=91)
    said = StringIO()
    call_command("retain", dry_run=True, stdout=said)
    assert "vision: 1 sessions, 0 candidate files (0.0 MB) and 0 log lines would be removed." in said.getvalue()
    assert OptimizationSession.objects.exists()
    call_command("retain", team="vision", stdout=said)
    assert not OptimizationSession.objects.exists()
    with pytest.raises(CommandError, match="No retention is set"):
        call_command("retain", team="speech")


def test_the_workers_chore_applies_it_and_clears_logins(
    policy: RetentionPolicy, start: Callable[..., OptimizationSession]
) -> None:
    ended(start(), days_ago=91)
    Session.objects.create(session_key="old", session_data="x", expire_date=timezone.now() - timedelta(days=1))
    Session.objects.create(session_key="new", session_data="x", expire_date=timezone.now() + timedelta(days=1))
    actors.tidy_up.fn()
    assert not OptimizationSession.objects.exists()
    assert set(Session.objects.values_list("session_key", flat=True)) == {"new"}


@pytest.fixture
def installation(db: None) -> PipelineSettings:
    """The operators keep files for five days, and whole sessions for sixty."""
    row = PipelineSettings.current()
    row.artifact_days, row.session_days = 5, 60
    row.save()
    return row


def test_the_installations_days_hold_for_every_team_where_they_are_fewer(
    installation: PipelineSettings, team: Team, start: Callable[..., OptimizationSession]
) -> None:
    week, old = ended(start(), days_ago=6), ended(start(), days_ago=61)
    assert (retention.would_go(team).sessions, retention.would_go(team).artifacts) == (1, 1)
    gone = retention.apply_all()["vision"]
    assert (gone.sessions, gone.artifacts, gone.log_lines) == (1, 1, 0)
    assert set(OptimizationSession.objects.all()) == {week}
    assert old.pk not in OptimizationSession.objects.values_list("pk", flat=True)


def test_of_a_team_and_the_installation_the_fewer_days_hold(
    installation: PipelineSettings, policy: RetentionPolicy
) -> None:
    held = retention.in_force(policy)
    assert (held.artifact_days, held.log_days, held.session_days) == (5, 30, 60)
    policy.artifact_days = 2
    assert retention.in_force(policy).artifact_days == 2
    assert RetentionPolicy.objects.get().artifact_days == 7, "nothing is saved"


def test_page_and_api_tell_a_team_what_the_operators_shorten(
    installation: PipelineSettings, policy: RetentionPolicy, owner: User, client: Client
) -> None:
    client.force_login(owner)
    page = " ".join(client.get(reverse("optimization:storage")).content.decode().split())
    told = page.partition('id="installation-retention">')[2].partition("</p>")[0]
    assert told.endswith("Candidate files for 5 days, Whole sessions for 60 days.")
    found = Door(owner).client.get("/api/v1/storage/").json()
    assert (found["artifact_days"], found["in_force"]["artifact_days"], found["in_force"]["log_days"]) == (7, 5, 30)


def test_operators_set_it_in_the_admin_checked_and_in_the_audit_trail(admin_client: Client) -> None:
    row = PipelineSettings.current()
    answers = {name: getattr(row, name) for name in PipelineSettingsForm.Meta.fields}
    answers = {name: value for name, value in answers.items() if value not in (None, False, [])}
    address = f"/admin/optimization/pipelinesettings/{row.pk}/change/"
    refused = admin_client.post(address, {**answers, "log_days": "0"})
    assert "greater than or equal to 1" in refused.content.decode()
    assert PipelineSettings.current().log_days is None
    assert admin_client.post(address, {**answers, "log_days": "30"}).status_code == 302
    assert PipelineSettings.current().log_days == 30
    event = AuditEvent.objects.filter(action="settings.changed").in_order().last()
    assert event is not None
    assert event.data["log_days"] == [None, 30]


def test_an_owner_sets_it_on_the_page_after_seeing_what_would_go(
    client: Client, owner: User, team: Team, start: Callable[..., OptimizationSession]
) -> None:
    ended(start(), days_ago=8)
    client.force_login(owner)
    days = {"artifact_days": "7", "log_days": "", "session_days": ""}
    page = client.post(reverse("optimization:retention"), {**days, "dry_run": "1"})
    assert "0 sessions, 1 candidate file" in " ".join(page.content.decode().split())
    assert not RetentionPolicy.objects.exists()
    assert client.post(reverse("optimization:retention"), days).status_code == 302
    assert RetentionPolicy.objects.get().artifact_days == 7
    event = AuditEvent.objects.get(action="retention.changed")
    assert event.data == {"artifact_days": [None, 7]}
    assert client.post(reverse("optimization:retention"), {**days, "log_days": "0"}).status_code == 422


def test_the_api_reads_tries_and_sets_it(owner: User, team: Team, start: Callable[..., OptimizationSession]) -> None:
    session, mine = ended(start(), days_ago=8), Door(owner).client
    tried = mine.patch("/api/v1/storage/", {"artifact_days": 7, "dry_run": True}, format="json")
    assert (tried.status_code, tried.json()["would_go"]["artifacts"]) == (200, 1)
    assert mine.get("/api/v1/storage/").json()["artifact_days"] is None
    kept = mine.patch("/api/v1/storage/", {"artifact_days": 7}, format="json").json()
    assert (kept["artifact_days"], kept["would_go"]["artifacts"]) == (7, 1)
    assert kept["candidates_bytes"] == 2 * 10 * len(f"{session.pk} c01")
    Membership.objects.filter(user=owner).update(role=Role.ENGINEER)
    assert mine.patch("/api/v1/storage/", {"artifact_days": 7}, format="json").status_code == 403
    assert mine.patch("/api/v1/storage/", {"artifact_days": 7, "dry_run": True}, format="json").status_code == 403


# --- quotas ----------------------------------------------------------------------------------------------------------


def test_a_file_counts_once_however_many_rows_refer_to_it(team: Team, engineer: User, other_team: Team) -> None:
    content = linear_model()
    for name in ("a", "b"):
        store.add_version(store.register_model(team, engineer, name), engineer, file=upload_of(content))
    assert used_bytes(team) == len(content)
    assert used_bytes(other_team) == 0


def test_what_passes_the_quota_is_refused_before_it_is_kept(team: Team, engineer: User, door: Door) -> None:
    content = linear_model()
    StoreQuota.objects.create(team=team, quota_bytes=len(content) - 1)
    model = store.register_model(team, engineer, "net")
    with pytest.raises(StoreQuotaExceeded, match="ask an operator for a larger quota"):
        store.add_version(model, engineer, file=upload_of(content))
    assert not Blob.objects.exists()
    answer = door.client.post("/api/v1/uploads/", {"filename": "x", "size_bytes": len(content)}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (413, "store.quota_exceeded")
    StoreQuota.objects.update(quota_bytes=len(content))
    assert store.add_version(model, engineer, file=upload_of(content)).number == 1


def test_an_upload_on_its_way_counts(team: Team, engineer: User) -> None:
    StoreQuota.objects.create(team=team, quota_bytes=100)
    upload = store.begin_upload(team, engineer, "f", 80)
    store.append_chunk(upload, 0, BytesIO(b"x" * 60))
    with pytest.raises(StoreQuotaExceeded):
        store.begin_upload(team, engineer, "g", 50)
    assert store.begin_upload(team, engineer, "g", 40).size_bytes == 40


def test_the_usual_quota_holds_where_a_team_has_none_of_its_own(team: Team, engineer: User) -> None:
    StoreSettings.current()
    StoreSettings.objects.update(default_quota_bytes=10)
    with pytest.raises(StoreQuotaExceeded):
        store.begin_upload(team, engineer, "f", 11)
    StoreQuota.objects.create(team=team, quota_bytes=None)
    assert store.begin_upload(team, engineer, "f", 11).size_bytes == 11


def test_the_page_shows_use_and_quota(client: Client, viewer: User, team: Team, engineer: User) -> None:
    store.add_version(store.register_model(team, engineer, "net"), engineer, file=upload_of(linear_model()))
    StoreQuota.objects.create(team=team, quota_bytes=2 * used_bytes(team))
    client.force_login(viewer)
    page = client.get(reverse("optimization:storage")).content.decode()
    assert "50 % of the quota" in page.replace("\u202f", " ").replace("\u00a0", " ")
    assert "An owner of the team can change this." in page
