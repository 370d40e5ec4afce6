"""From an audit event to bells and the outbox: who is told, where, and in which transaction."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.apps import apps
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import Membership, Team, User
from apps.agents.measuring.scheduling.health import TimingHealth
from apps.audit import trail
from apps.audit.models import AuditEvent
from apps.models import checks
from apps.models.models import InspectionStatus, ModelVersion
from apps.notifications import chats, kinds, services, stories
from apps.notifications.models import BellEntry, Channel, Delivery, Medium, Notification
from apps.notifications.schedule import Hours
from apps.notifications.stories import story_of
from apps.optimization import sweeper, watching
from apps.optimization.models import EvaluationReport, OptimizationSession, PipelineSettings, SessionStep
from apps.optimization.regressions import tell_of_regression
from tests.portal import world
from tests.portal.world import World

pytestmark = pytest.mark.django_db

Happens = Callable[..., None]


def told(user: User) -> list[str]:
    return list(BellEntry.objects.filter(user=user).values_list("notification__kind", flat=True))


def newest() -> Notification:
    return Notification.objects.latest("pk")


def test_the_team_is_told_and_nobody_else(
    refusal: Happens, team: Team, owner: User, engineer: User, viewer: User, stranger: User
) -> None:
    refusal()
    for member in (owner, engineer, viewer):
        assert told(member) == ["upload.refused"]
    assert told(stranger) == []
    entry = BellEntry.objects.filter(user=owner).select_related("notification").get()
    assert (entry.notification.title, entry.notification.text) == ("cats v1 was refused", "The file is damaged.")
    assert entry.notification.event == AuditEvent.objects.get(action="upload.refused").sequence
    assert "user" not in entry.notification.data


def test_by_default_mail_goes_to_the_one_it_concerns(refusal: Happens, owner: User, engineer: User) -> None:
    refusal()
    assert list(Delivery.objects.values_list("channel__user", flat=True)) == [engineer.pk]


def test_what_is_switched_off_is_not_told(refusal: Happens, team: Team, owner: User, viewer: User) -> None:
    services.change_channel(owner, services.own_channel(owner, team, Medium.BELL), kinds=["session.failed"])
    services.change_channel(
        viewer, services.own_channel(viewer, team, Medium.EMAIL), kinds=["upload.refused"], mine_only=False
    )
    refusal()
    assert told(owner) == []
    assert Delivery.objects.filter(channel__user=viewer).count() == 1


def test_a_notification_lives_and_dies_with_its_event(refusal: Happens, webhook: Channel, owner: User) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        refusal()
        assert Delivery.objects.filter(channel=webhook).exists()
        raise RuntimeError
    assert not Notification.objects.exists()
    assert not Delivery.objects.exists()
    assert not AuditEvent.objects.filter(action="upload.refused").exists()


def test_who_did_it_is_not_told(team: Team, owner: User, engineer: User) -> None:
    trail.record("upload.refused", actor=engineer, team=team, subject="resnet v2", reason="The file is damaged.")
    assert told(owner) == ["upload.refused"]
    assert told(engineer) == []


def test_who_has_left_or_is_switched_off_is_not_told(
    refusal: Happens, team: Team, owner: User, viewer: User, listing: Callable[..., None]
) -> None:
    mine = services.add_channel(
        viewer, team, Medium.WEBHOOK, for_team=False, name="mine", address="https://hooks.example.org/"
    )
    Membership.objects.filter(user=viewer).delete()
    User.objects.filter(pk=owner.pk).update(is_active=False)
    refusal()
    assert told(owner) == told(viewer) == []
    assert not mine.deliveries.exists()


def test_what_concerns_the_installation_is_for_operators(owner: User, engineer: User) -> None:
    User.objects.filter(pk=owner.pk).update(is_staff=True)
    trail.record("room.low", subject="The disk of node-1 is nearly full", reason="1.0 of 100 GB are free.")
    assert told(owner) == ["room.low"]
    assert told(engineer) == []
    assert BellEntry.objects.visible_to(User.objects.get(pk=owner.pk)).count() == 1
    User.objects.filter(pk=owner.pk).update(is_staff=False)
    assert BellEntry.objects.visible_to(User.objects.get(pk=owner.pk)).count() == 0


# --- what the portal does --------------------------------------------------------------------------------------------


@pytest.fixture
def everything(team: Team, owner: User, viewer: User) -> World:
    return world.build(team, owner)


@pytest.mark.parametrize(
    ("outcome", "budget", "kind"),
    [
        ("improved", True, kinds.SESSION_FINISHED),
        ("unchanged", False, kinds.SESSION_FINISHED),
        ("unchanged", True, kinds.BUDGET_SPENT),
        ("not_measured", False, kinds.SESSION_UNDECIDED),
        ("inconclusive", False, kinds.SESSION_UNDECIDED),
        ("inconclusive", True, kinds.SESSION_UNDECIDED),
    ],
)
def test_the_end_of_a_session(everything: World, outcome: str, budget: bool, kind: kinds.Kind) -> None:
    if budget:
        trail.record("budget spent", actor="OptimizationManager", session=everything.session, key="budget")
    event = trail.record("session.completed", session=everything.session, reason="Why.", data={"outcome": outcome})
    story = story_of(event)
    assert story is not None
    assert (story.kind, story.concerns) == (kind, everything.session.created_by_id)
    assert story.path == everything.session.get_absolute_url()
    assert story.title.startswith("resnet v1")


CHANGES = (
    ("session.started", {}, "resnet v1: the session was started"),
    ("session.resumed", {}, "resnet v1: the session goes on"),
    ("session.promoted", {"alias": "live"}, "resnet v2 was promoted to live"),
    ("session.promotion_rolled_back", {"alias": "live", "now": "resnet v1"}, "resnet v2: the promotion to live was"),
    ("alias.moved", {"model": 1, "alias": "live", "from": 1, "to": 2}, "resnet v2 points at v2"),
    ("alias.moved_back", {"model": 1, "alias": "live", "from": 2, "to": 1}, "resnet v2 points at v1 again"),
    ("version.added", {"path": "/models/1/", "user": None}, "resnet v2 was added"),
)


@pytest.mark.parametrize(("action", "data", "title"), CHANGES)
def test_a_change_of_state_goes_where_it_is_ticked(
    everything: World, owner: User, viewer: User, webhook: Channel, action: str, data: dict[str, Any], title: str
) -> None:
    services.change_channel(owner, webhook, kinds=[action])
    trail.record(action, session=everything.session, team=webhook.team, subject="resnet v2", data=data)
    assert webhook.deliveries.get().notification == newest()
    assert not Delivery.objects.filter(notification=newest(), channel__user__isnull=False).exists()
    assert newest().headline.startswith(title)
    assert told(viewer) == []


def test_a_cancelled_request_for_a_candidate_is_no_cancelled_session(everything: World) -> None:
    event = trail.record("session.cancelled", session=everything.session)
    assert story_of(event).title == "resnet v1: the request for another candidate was cancelled"
    OptimizationSession.objects.update(verdict=None)
    event = trail.record("session.cancelled", session=OptimizationSession.objects.get())
    assert story_of(AuditEvent.objects.get(pk=event.pk)).title == "resnet v1: the session was cancelled"


def test_what_passes_its_checks_is_told_to_a_channel_that_asks(
    everything: World, owner: User, webhook: Channel
) -> None:
    services.change_channel(owner, webhook, kinds=["upload.ready"])
    ModelVersion.objects.update(status=InspectionStatus.PENDING)
    for _ in range(2):
        ModelVersion.objects.get().accept()
    assert webhook.deliveries.get().notification == newest()
    assert (newest().title, newest().path) == ("resnet v1 is ready", everything.version.get_absolute_url())


def test_every_action_that_is_told_is_one_that_is_recorded() -> None:
    calls = (
        node
        for path in Path("apps").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and "record" in ast.unparse(node.func) + ast.unparse(node.args[:1])
    )
    recorded = {one.value for call in calls for one in call.args if isinstance(one, ast.Constant)}
    assert recorded >= stories.ACTIONS


def test_a_refused_upload_is_told_once(everything: World, viewer: User) -> None:
    ModelVersion.objects.update(status=InspectionStatus.PENDING)
    for _ in range(2):
        ModelVersion.objects.get().refuse("model.damaged", "The file is damaged.")
    assert told(viewer) == ["upload.refused"]
    assert newest().path == everything.version.get_absolute_url()


def test_a_lost_worker_is_told(everything: World, viewer: User) -> None:
    OptimizationSession.objects.update(status="running")
    long_ago = timezone.now() - timedelta(minutes=5)
    SessionStep.objects.filter(key="analyse").update(
        status="running", worker="node-1:7", lease_expires_at=long_ago, attempt=1, claim=uuid4()
    )
    sweeper._recover_steps()
    assert told(viewer) == ["worker.lost"]
    assert newest().title == "The worker node-1:7 was lost"
    assert "retried" in newest().text


def test_a_long_wait_is_told_once_and_not_of_a_paused_queue(everything: World, viewer: User) -> None:
    OptimizationSession.objects.update(status="running")
    waits = {"status": "queued", "enqueued_at": timezone.now() - timedelta(minutes=31), "queue": "cpu"}
    SessionStep.objects.filter(key="analyse").update(**waits)
    PipelineSettings.objects.update_or_create(pk=PipelineSettings.current().pk, defaults={"paused_queues": ["cpu"]})
    assert watching.look_at_queues() == 0
    PipelineSettings.objects.update(paused_queues=[])
    assert watching.look_at_queues() == 1
    assert watching.look_at_queues() == 0
    assert told(viewer) == ["queue.slow"]


def test_a_worker_lost_in_a_check_is_told(everything: World, viewer: User) -> None:
    long_ago = timezone.now() - timedelta(minutes=5)
    lost = {"status": InspectionStatus.PENDING, "check_claim": uuid4(), "check_expires_at": long_ago}
    ModelVersion.objects.update(**lost, check_attempts=1)
    assert [checks.recover() for _ in range(2)] == [1, 0]
    assert told(viewer) == ["worker.lost"]
    assert newest().title == "The worker that checked resnet v1 was lost"
    assert "repeated" in newest().text
    ModelVersion.objects.update(**lost, check_attempts=checks.MOST_TRIES)
    checks.recover()
    assert sorted(told(viewer)) == ["upload.refused", "worker.lost", "worker.lost"]


def test_a_check_that_waits_long_is_told_once_and_not_of_a_paused_queue(everything: World, viewer: User) -> None:
    long_ago = timezone.now() - timedelta(minutes=31)
    ModelVersion.objects.update(status=InspectionStatus.PENDING, check_asked_at=long_ago)
    PipelineSettings.objects.update_or_create(pk=PipelineSettings.current().pk, defaults={"paused_queues": ["checks"]})
    assert watching.look_at_checks() == 0
    PipelineSettings.objects.update(paused_queues=[])
    sweeper.sweep()
    assert watching.look_at_checks() == 0
    assert told(viewer) == ["queue.slow"]
    assert (newest().title, newest().path) == (
        "resnet v1: the check waits for a worker",
        everything.version.get_absolute_url(),
    )
    ModelVersion.objects.update(status=InspectionStatus.READY)
    assert watching.look_at_checks() == 0
    ModelVersion.objects.update(status=InspectionStatus.PENDING)
    assert watching.look_at_checks() == 1, "it was checked in between"


def test_a_session_far_slower_than_predicted_is_told_once(everything: World, viewer: User) -> None:
    now = timezone.now()
    OptimizationSession.objects.update(status="running", foreseen_s=300.0)
    step = SessionStep.objects.filter(key="analyse")
    SessionStep.objects.update(started_at=None, finished_at=None)
    running = {"status": "running", "lease_expires_at": now + timedelta(minutes=5)}
    step.update(**running, started_at=now - timedelta(seconds=880))
    assert watching.look_at_sessions() == 0, "less than ten minutes longer"
    step.update(started_at=now - timedelta(seconds=1000))
    assert [watching.look_at_sessions() for _ in range(2)] == [1, 0]
    assert told(viewer) == ["session.slow"]
    assert "its plan foresaw 5 min" in newest().text


def test_a_machine_that_measures_badly_is_told_to_operators_until_it_is_good_again(owner: User, viewer: User) -> None:
    User.objects.filter(pk=owner.pk).update(is_staff=True)

    def measured(low: float, high: float) -> None:
        control = {"value": 1.0, "low": low, "high": high}
        watching.look_at_timing(TimingHealth.of({"control": control, "runs": 100, "disturbed": 0}, timezone.now()))

    measured(0.98, 1.02)
    assert told(owner) == []
    measured(0.9, 1.23)
    measured(0.7, 1.1)
    measured(0.9, 1.1)  # neither good nor bad
    measured(0.7, 1.1)
    assert told(owner) == ["worker.unsteady"]
    assert "up to 23%" in newest().text
    measured(0.98, 1.02)
    measured(0.7, 1.1)
    assert told(owner) == ["worker.unsteady", "worker.unsteady"]
    assert told(viewer) == []


def test_a_disk_and_a_quota_are_told_when_they_become_low(
    team: Team, owner: User, viewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    User.objects.filter(pk=owner.pk).update(is_staff=True)
    disk = type("Disk", (), {"free": 1e9, "total": 100e9})
    monkeypatch.setattr(watching.shutil, "disk_usage", lambda folder: disk)
    quota: list[int] = [1000]
    monkeypatch.setattr(watching, "quota_bytes", lambda team: quota[0])
    monkeypatch.setattr(watching, "used_bytes", lambda team: 950)
    for _ in range(2):
        watching.look_at_room()
    assert told(owner) == ["room.low", "room.low"], "the disk and the quota, each once"
    assert told(viewer) == ["room.low"]
    quota[0] = 2000
    watching.look_at_room()
    quota[0] = 1000
    watching.look_at_room()
    assert told(viewer) == ["room.low", "room.low"], "it was better in between"


def test_a_promotion_that_makes_a_model_worse_is_told(everything: World, owner: User, viewer: User) -> None:
    """Two real reports that differ in the accuracy and the time of the promoted candidate."""
    before = everything.version
    before.source_session = everything.session.pk
    before.save()
    session = world.finished_session(before, everything.dataset, everything.criteria, owner)
    version = ModelVersion.objects.create(
        model=everything.model, number=2, blob=before.blob, filename="resnet.onnx", created_by=owner
    )
    measured = EvaluationReport.objects.select_related("step").order_by("pk")
    for report in measured:
        report.step.result["latency"]["candidate_p50_ms"] = {"value": 2.0, "low": 1.9, "high": 2.1}
        report.step.save()
    assert not tell_of_regression(session, before, version, "production", owner), "the same numbers are no loss"
    step = measured.get(candidate__session=session).step
    shift(step.result["metrics"][0]["candidate"], -30.0)
    step.save()
    assert tell_of_regression(session, before, version, "production", owner)
    assert told(viewer) == ["model.regressed"]
    assert "which production pointed at before: " in newest().text
    shift(step.result["metrics"][0]["candidate"], 30.0)
    shift(step.result["latency"]["candidate_p50_ms"], 0.15)
    step.save()
    assert not tell_of_regression(session, before, version, "production", owner), "the intervals touch"
    shift(step.result["latency"]["candidate_p50_ms"], 1.0)
    step.save()
    assert tell_of_regression(session, before, version, "production", owner)
    assert "3.15 instead of 2 ms" in newest().text


def shift(estimate: dict[str, Any], by: float) -> None:
    for name in ("value", "low", "high"):
        if estimate[name] is not None:
            estimate[name] += by


def test_channels_from_before_keep_only_what_can_happen_where_they_belong(webhook: Channel, owner: User) -> None:
    everything = list(kinds.KINDS)
    ours = Channel.objects.create(user=owner, medium=Medium.EMAIL, name="mail", kinds=everything)
    Channel.objects.update(kinds=everything)
    import_module("apps.notifications.migrations.0008_changes_of_state").leave_what_can_happen(apps, None)
    for channel in (webhook, ours):
        channel.refresh_from_db()
    assert set(everything) - set(webhook.kinds) == {"worker.unsteady", "breaker.opened"}
    assert ours.kinds == list(kinds.offered(installation=True, bell=True))


# --- hours -----------------------------------------------------------------------------------------------------------

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = {"quiet_from": time(22), "quiet_until": time(7)}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("hours", "now", "due", "held"),
    [
        (Hours(BERLIN), "2026-03-02T23:00", "2026-03-02T23:00", False),
        (Hours(BERLIN, **NIGHT), "2026-03-02T21:59", "2026-03-02T21:59", False),
        (Hours(BERLIN, **NIGHT), "2026-03-02T22:00", "2026-03-03T07:00", True),
        (Hours(BERLIN, **NIGHT), "2026-03-03T06:59", "2026-03-03T07:00", True),
        (Hours(BERLIN, **NIGHT), "2026-03-03T07:00", "2026-03-03T07:00", False),
        (Hours(BERLIN, **NIGHT), "2026-03-29T01:30", "2026-03-29T07:00", True),
        (Hours(BERLIN, quiet_from=time(12), quiet_until=time(13)), "2026-03-02T12:30", "2026-03-02T13:00", True),
        (Hours(BERLIN, "hourly"), "2026-03-02T12:30", "2026-03-02T13:00", True),
        (Hours(BERLIN, "daily"), "2026-03-02T07:59", "2026-03-02T08:00", True),
        (Hours(BERLIN, "daily"), "2026-03-02T08:00", "2026-03-03T08:00", True),
        (Hours(BERLIN, "hourly", **NIGHT), "2026-03-02T21:30", "2026-03-03T07:00", True),
    ],
)
def test_when_a_message_is_due(hours: Hours, now: str, due: str, held: bool) -> None:
    assert hours.due(at(now).astimezone(UTC)) == (at(due), held)


# --- the docs --------------------------------------------------------------------------------------------------------


@pytest.mark.portable
def test_the_docs_have_every_kind_and_every_service() -> None:
    page = Path("docs/notifications.md").read_text()
    rows = re.findall(r"^\| `([\w.]+)` \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE)
    assert {name for name, _ in rows} == set(kinds.KINDS)
    assert {name for name, mailed in rows if mailed in ("yes", "your own")} == set(kinds.MAILED)
    services_of_page = re.findall(r"^\| [^|]+ \| `(\w+)://` \|$", page, re.MULTILINE)
    assert services_of_page == list(chats.SERVICES)
