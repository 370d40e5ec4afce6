"""A session that waits behind others says so: on its page, in the lists, in the API, and live."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db.models import F
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from apps.accounts.models import Team, User
from apps.agents.contracts.criteria import Device
from apps.agents.contracts.state import Phase, Status, StepKind
from apps.models import clock
from apps.models.timing import timing
from apps.optimization import events, waiting
from apps.optimization.models import OptimizationSession, SessionStep, Worker
from lathe import terminal
from tests.portal import world
from tests.portal.test_live import Socket, in_a_loop

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sessions(team: Team, owner: User, viewer: User) -> list[OptimizationSession]:
    """Three that run; the first step of the first is at work, those of the others wait."""
    built = world.build(team, owner)
    minute = timedelta(minutes=1)
    built.session.steps.filter(kind=StepKind.OPTIMIZE).update(finished_at=F("started_at") + minute)
    worker = Worker.objects.get()
    rows = []
    for number in range(3):
        session = world.finished_session(built.version, built.dataset, built.criteria, owner)
        moment = clock.now()
        OptimizationSession.objects.filter(pk=session.pk).update(
            status=Status.RUNNING, phase=Phase.ANALYSING, outcome="", verdict=None, finished_at=None, started_at=moment
        )
        session.steps.update(started_at=None)
        step = SessionStep.objects.create(
            session=session, key="c02/optimize", kind=StepKind.OPTIMIZE, enqueued_at=moment
        )
        if number == 0:
            assert step.take(worker.name, timing().lease)
            assert step.note_progress(progress=0.1, message="Quantizing", eta_s=240.0)
            Worker.objects.update(current_step=step)
        rows.append(OptimizationSession.objects.get(pk=session.pk))
    return rows


SECOND = "next in the queue, about 4 minutes"
"""The wait of the second: what runs says how long it will take. The third waits for a step more, of a minute."""


def test_the_page_says_the_place_and_the_time(
    sessions: list[OptimizationSession], client: Client, viewer: User
) -> None:
    client.force_login(viewer)
    first, second, third = (client.get(one.get_absolute_url()).content.decode() for one in sessions)
    assert 'id="session-wait"' not in first
    assert f"<strong>Waiting: {SECOND}.</strong> This time does not count towards the budget." in second
    assert "<strong>Waiting: 2nd in the queue, about 5 minutes.</strong>" in third


@pytest.mark.parametrize("name", ["session-list", "dashboard"])
def test_the_lists_say_it_too(sessions: list[OptimizationSession], client: Client, viewer: User, name: str) -> None:
    client.force_login(viewer)
    html = client.get(reverse(f"optimization:{name}")).content.decode()
    assert html.count("Waiting: ") == 2
    assert f"Waiting: {SECOND}" in html


def test_a_versions_page_says_it_too(sessions: list[OptimizationSession], client: Client, viewer: User) -> None:
    client.force_login(viewer)
    assert f"Waiting: {SECOND}" in client.get(sessions[0].version.get_absolute_url()).content.decode()


def test_the_api_has_the_place_the_estimate_and_both_times(
    sessions: list[OptimizationSession], viewer: User, django_assert_max_num_queries
) -> None:
    api = APIClient()
    api.force_authenticate(viewer)
    one = api.get(f"/api/v1/sessions/{sessions[1].pk}/").json()
    wait = one["waiting"]
    assert (wait["place"], wait["queue"], wait["workers"], wait["estimate_s"]) == (1, "cpu", 1, 240.0)
    assert wait["sentence"] == SECOND
    assert one["worked_s"] == 0.0
    assert one["waited_s"] == pytest.approx(one["elapsed_s"], abs=0.5)
    with django_assert_max_num_queries(20):
        listed = api.get("/api/v1/sessions/", {"status": "running"}).json()["results"]
    places = {row["id"]: row["waiting"] and row["waiting"]["place"] for row in listed}
    assert places == {str(sessions[0].pk): None, str(sessions[1].pk): 1, str(sessions[2].pk): 2}
    assert next(row for row in listed if row["id"] == str(sessions[0].pk))["worked_s"] > 0


def test_the_place_of_a_new_session_is_known_before_its_start(
    sessions: list[OptimizationSession], client: Client, engineer: User, django_assert_max_num_queries
) -> None:
    client.force_login(engineer)
    one = sessions[0]
    asked: dict[str, Any] = {"version": one.version_id, "dataset": one.dataset_id, "criteria_set": one.criteria_set_id}
    address = reverse("optimization:session-preview")
    html = client.get(address, asked).content.decode()
    assert "If you start the session now: 3rd in the queue, about 6 minutes." in html
    with django_assert_max_num_queries(9):
        assert waiting.wait_of_another(Device.CPU).place == 3
    api = APIClient()
    api.force_authenticate(engineer)
    wait = api.post("/api/v1/sessions/preview/", asked, format="json").json()["waiting"]
    assert (wait["place"], wait["queue"]) == (3, "cpu")
    OptimizationSession.objects.update(status=Status.COMPLETED)
    SessionStep.objects.update(status=Status.COMPLETED)
    Worker.objects.update(current_step=None)
    assert "If you start the session now: it starts at once." in client.get(address, asked).content.decode()
    Worker.objects.all().delete()
    assert "no live worker serves the queue cpu." in client.get(address, asked).content.decode()
    german = client.get(address, asked, headers={"Accept-Language": "de"}).content.decode()
    assert "Wenn Sie die Sitzung jetzt starten: " in german


def test_the_terminal_says_it_in_the_line_of_progress(sessions: list[OptimizationSession]) -> None:
    assert f"waiting: {SECOND}" in terminal.progress_line(sessions[1])
    assert "waiting" not in terminal.progress_line(sessions[0])


@in_a_loop
async def test_a_page_that_waits_moves_up_as_soon_as_another_sessions_step_ends(
    sessions: list[OptimizationSession], viewer: User
) -> None:
    socket = Socket(sessions[2], viewer)
    await socket.connect()
    assert "Waiting: 2nd in the queue, about 5 minutes" in await socket.pushed()
    await sync_to_async(_the_first_in_line_is_taken)()
    assert "Waiting: next in the queue" in await socket.pushed()
    await socket.leave()


def _the_first_in_line_is_taken() -> None:
    step = SessionStep.objects.filter(status=Status.QUEUED).order_by("enqueued_at").first()
    assert step is not None
    assert step.take("worker-2", timing().lease)
    events.poke_waiting()
