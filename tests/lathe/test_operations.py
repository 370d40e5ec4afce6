"""The page of operators: what waits, works, fills up and failed, over all teams, for nobody else."""

from __future__ import annotations

from datetime import timedelta
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.tokens import create_token
from apps.agents.contracts.state import Status
from apps.audit import trail, verification
from apps.audit.models import AuditEvent
from apps.models import clock
from apps.models.usage import used_bytes, used_bytes_by_team
from apps.optimization import actors, attendance, messages, sweeper
from apps.optimization.models import OptimizationSession, SessionStep, Worker, WorkerCount
from lathe import readiness
from tests.optimization import crank
from tests.portal import world
from tests.portal.world import World

pytestmark = pytest.mark.django_db
PAGE, RESUME, VERIFY = "/operations/", "/operations/resume/", "/operations/verify/"


@pytest.fixture
def everything(team: Any, owner: User) -> World:
    return world.build(team, owner)


@pytest.fixture
def operator(client: Client, db: None) -> User:
    """Somebody of no team, who may do in the admin what it takes."""
    user = User.objects.create_superuser("ops@example.org", "correct horse battery")
    client.force_login(user)
    return user


@pytest.fixture
def failed(everything: World) -> OptimizationSession:
    session = everything.session
    OptimizationSession.objects.filter(pk=session.pk).update(
        status=Status.FAILED, outcome="", verdict=None, error_code="step.worker_lost", error="The worker was lost."
    )
    session.refresh_from_db()
    return session


def page(client: Client, **query: str) -> str:
    return unescape(client.get(PAGE, query).content.decode())


def test_staff_need_the_permissions_of_the_admin(client: Client, failed: OptimizationSession) -> None:
    user = User.objects.create_user("staff@example.org", is_staff=True)
    client.force_login(user)
    assert client.get(PAGE).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_optimizationsession"))
    assert "The worker was lost." in page(client)
    assert "resume-chosen" not in page(client)
    assert client.post(RESUME, {"session": str(failed.pk)}).status_code == 403


def test_a_token_of_one_team_opens_nothing(client: Client, operator: User, everything: World) -> None:
    _, token = create_token(operator, name="all", scope="read", days=1)
    headers = {"Authorization": f"Bearer {token}"}
    client.logout()
    assert client.get("/api/v1/operations/", headers=headers).status_code == 200
    operator.auth_token_set.update(team=everything.team)
    assert client.get("/api/v1/operations/", headers=headers).status_code == 403


def test_it_needs_few_queries(
    client: Client, operator: User, failed: OptimizationSession, django_assert_max_num_queries: Any
) -> None:
    for _ in range(4):
        failed.pk = uuid4()
        failed.save(force_insert=True)
    verification.verified()
    client.get(PAGE)  # what is made once: the login's row, the settings
    cache.delete("operations.store")
    readiness.last_answer.forget()
    with django_assert_max_num_queries(20):
        assert client.get(PAGE).status_code == 200
    with django_assert_max_num_queries(12):
        assert client.get(PAGE, headers={"HX-Request": "true"}).status_code == 200


def test_what_waits_and_who_serves_it(client: Client, operator: User, everything: World) -> None:
    OptimizationSession.objects.update(status=Status.RUNNING)
    long_ago = timezone.now() - timedelta(hours=2)
    SessionStep.objects.filter(key="plan").update(status=Status.QUEUED, queue="gpu", enqueued_at=long_ago)
    queues = {one["queue"]: one for one in client.get("/api/v1/operations/").json()["now"]["queues"]}
    assert list(queues)[:4] == ["default", "checks", "cpu", "gpu"]
    assert (queues["gpu"]["steps"], queues["gpu"]["idle"]) == (1, 0)
    assert 7190 < queues["gpu"]["oldest_step_age_s"] < 7300
    assert (queues["cpu"]["idle"], queues["cpu"]["busy"]) == (1, 0)
    assert "1 idle" in page(client)


def test_what_is_not_as_it_should_be_is_told_with_what_to_do(client: Client, operator: User, everything: World) -> None:
    html = page(client)
    assert "No live worker serves default" in html
    assert "Start a worker with these LATHE_QUEUES" in html
    assert "worker-1 runs other code" in html


def test_the_state_of_a_slow_step_is_in_the_readers_language(client: Client, operator: User, everything: World) -> None:
    SessionStep.objects.update(finished_at=timezone.now())
    html = unescape(client.get(PAGE, headers={"Accept-Language": "de"}).content.decode())
    assert 'data-label="Status"><span class="badge badge-ok">abgeschlossen</span>' in html


class TestResume:
    def test_one_press_resumes_and_is_recorded(
        self, client: Client, operator: User, failed: OptimizationSession
    ) -> None:
        html = page(client)
        assert "The worker was lost." in html
        assert f'id="resume-{failed.pk}"' in html
        answer = client.post(RESUME, {"only": str(failed.pk), "session": str(uuid4())}, follow=True)
        assert "1 session resumed." in answer.content.decode()
        failed.refresh_from_db()
        assert failed.status == Status.QUEUED
        event = AuditEvent.objects.filter(action="session.resumed").get()
        assert (event.session_id, event.user_id) == (failed.pk, operator.pk)

    def test_one_that_cannot_be_resumed_does_not_hold_up_the_others(
        self, client: Client, operator: User, failed: OptimizationSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = OptimizationSession.objects.get(pk=failed.pk)
        other.pk = uuid4()
        other.save(force_insert=True)
        resume = OptimizationSession.resume

        def ended_meanwhile(session: OptimizationSession) -> None:
            if session.pk == other.pk:
                session.status = Status.COMPLETED
            resume(session)

        monkeypatch.setattr(OptimizationSession, "resume", ended_meanwhile)
        both = {"sessions": [str(failed.pk), str(other.pk)]}
        answer = client.post("/api/v1/operations/resume/", both, content_type="application/json")
        outcomes = {one["id"]: one for one in answer.json()["outcomes"]}
        assert outcomes[str(failed.pk)]["code"] is None
        assert outcomes[str(other.pk)]["code"] == "session.move_refused"
        failed.refresh_from_db()
        assert failed.status == Status.QUEUED

    def test_nothing_chosen_is_said(self, client: Client, operator: User, failed: OptimizationSession) -> None:
        answer = client.post(RESUME, {"session": "no id"}, follow=True)
        assert "Choose at least one session" in answer.content.decode()

    def test_an_unknown_session_is_named_by_the_api(self, client: Client, operator: User) -> None:
        body = {"sessions": [str(uuid4())]}
        answer = client.post("/api/v1/operations/resume/", body, content_type="application/json")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (404, "sessions")


class TestTrail:
    def test_the_badge_says_whole_when_a_worker_has_verified(
        self, client: Client, operator: User, everything: World
    ) -> None:
        assert "not verified yet" in page(client)
        client.post(VERIFY)
        list(crank.messages())
        actors.verify_trail.fn()
        assert "whole</span>" in page(client)
        (state,) = [client.get("/api/v1/operations/").json()["now"]["trail"]]
        assert (state["whole"], state["events"]) == (True, AuditEvent.objects.count())

    def test_pressing_the_button_sends_the_message(self, client: Client, operator: User) -> None:
        with pytest.MonkeyPatch.context() as patch:
            sent: list[bool] = []
            patch.setattr(type(messages.VERIFY_TRAIL), "send", lambda self, *args, **kwargs: sent.append(True))
            assert client.post("/api/v1/operations/verify-trail/").status_code == 202
        assert sent == [True]

    def test_a_broken_chain_is_shown_with_the_event(self, client: Client, operator: User, everything: World) -> None:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("UPDATE optimization_auditevent SET actor = 'x' WHERE sequence = 1")
        verification.verified()
        html = page(client)
        assert "broken</span>" in html
        assert "broken at event 1: its contents were changed" in html

    def test_the_result_is_kept_for_a_day(self, everything: World) -> None:
        verification.keep_fresh()
        found = verification.last()
        assert found is not None
        verification.keep_fresh()
        assert verification.last().at == found.at  # type: ignore[union-attr]
        type(found).objects.update(at=timezone.now() - timedelta(days=2))
        actors.tidy_up.fn()
        assert verification.last().at > found.at  # type: ignore[union-attr]

    def test_an_event_that_arrives_meanwhile_breaks_nothing(
        self, team: Any, engineer: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trail.record("thing.made", actor=engineer, team=team)
        heads, real = [], trail._head

        def busy_head() -> Any:
            found = real()
            if not heads:
                trail.record("thing.moved", actor=engineer, team=team)
            heads.append(found)
            return found

        monkeypatch.setattr(trail, "_head", busy_head)
        assert trail.verify() is None
        assert [head.sequence for head in heads] == [1, 2]


class TestWorkersOverTime:
    def test_they_are_counted_once_in_five_minutes(self, everything: World) -> None:
        Worker.objects.create(name="worker-2", queues=["cpu"], current_step=SessionStep.objects.first())
        attendance.note()
        Worker.objects.all().delete()
        sweeper.sweep()
        count = WorkerCount.objects.get()
        assert (count.alive, count.busy) == (2, 1)

    def test_a_gap_is_a_time_without_workers(self, client: Client, operator: User) -> None:
        now = attendance._moment(clock.now())
        for minutes, alive in ((30, 2), (25, 2), (10, 1)):
            WorkerCount.objects.create(at=now - timedelta(minutes=minutes), alive=alive, busy=1)
        counts = [one.alive for one in attendance.over(1)]
        assert counts[:5] == [2, 2, 0, 0, 1]
        html = page(client)
        assert "At most 2 were alive and 1 busy" in html
        week = client.get("/api/v1/operations/", {"days": 7}).json()["workers"]
        assert week[0]["alive"] == 2
        assert client.get("/api/v1/operations/", {"days": 3}).status_code == 400

    def test_old_counts_are_forgotten(self, db: None) -> None:
        WorkerCount.objects.create(at=timezone.now() - timedelta(days=8), alive=1, busy=0)
        actors.tidy_up.fn()
        assert not WorkerCount.objects.exists()


def test_the_slowest_steps_come_first(client: Client, operator: User, everything: World) -> None:
    now = timezone.now()
    SessionStep.objects.filter(key="plan").update(started_at=now - timedelta(minutes=9), finished_at=now)
    slowest = client.get("/api/v1/operations/").json()["slowest_steps"]
    assert (slowest[0]["step"], round(slowest[0]["duration_s"])) == ("plan", 540)


def test_use_by_team_is_what_each_team_sees(client: Client, operator: User, everything: World, other_team: Any) -> None:
    uses = client.get("/api/v1/operations/").json()["teams"]
    assert [(one["team"], one["used_bytes"]) for one in uses] == [
        ("vision", used_bytes(everything.team)),
        ("speech", 0),
    ]
    assert used_bytes_by_team()[everything.team.pk] == used_bytes(everything.team) > 0
