"""What a worker says about its measurements: where, with which priority, and how quiet its machine was."""

from __future__ import annotations

import dataclasses
import socket
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.agents.contracts.state import Status, StepKind
from apps.agents.measuring.scheduling import priority
from apps.agents.sandbox.walls.closing import detect
from apps.optimization import workers
from apps.optimization.models import OptimizationSession, SessionStep, Worker
from tests.optimization import crank, material


@pytest.fixture
def granted(monkeypatch: pytest.MonkeyPatch) -> str:
    words = "slices of 100 ms"
    monkeypatch.setattr(priority, "ask_for_priority", lambda *_: words)
    return words


@pytest.mark.django_db
def test_a_worker_that_measures_says_where_and_with_which_priority(settings: Any, granted: str) -> None:
    settings.LATHE = dataclasses.replace(settings.LATHE, cores=(2, 3, 6))
    workers.report(["cpu"])
    worker = Worker.objects.get()
    assert (worker.measures, worker.written_cores, worker.priority) == (True, "2-3,6", granted)
    assert worker.health is None


@pytest.mark.django_db
def test_a_worker_that_only_checks_says_nothing_of_it(settings: Any) -> None:
    settings.LATHE = dataclasses.replace(settings.LATHE, cores=(2, 3))
    workers.report(["checks"])
    worker = Worker.objects.get()
    assert (worker.measures, worker.measuring_cores, worker.priority) == (False, [], "")


@pytest.mark.django_db
def test_a_worker_that_opens_uploads_says_how_far_they_are_closed_in(engineer: User) -> None:
    workers.report(["checks"])
    here = detect()
    assert Worker.objects.get().sandbox == here
    client = APIClient()
    client.force_authenticate(engineer)
    (row,) = client.get("/api/v1/workers/").json()["results"]
    assert row["sandbox"] == {"level": here.level.value, "gaps": list(here.gaps)}
    Worker.objects.update(queues=["default"])
    (row,) = client.get("/api/v1/workers/").json()["results"]
    assert row["sandbox"] is None


@pytest.mark.children
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("stored", "small_handlers", "impatient")
def test_each_evaluation_tells_how_quiet_its_machine_was(session: OptimizationSession, engineer: User) -> None:
    workers.report(["cpu"])
    crank.turn_until_quiet()
    session.refresh_from_db()
    assert session.status == Status.COMPLETED
    client = APIClient()
    client.force_authenticate(engineer)
    (row,) = client.get("/api/v1/workers/").json()["results"]
    assert (row["health"], row["spread"]) == ("good", pytest.approx(0.01))
    assert row["timing"]["control"] == {"value": 1.0, "low": 0.99, "high": 1.01}


def evaluated(session: OptimizationSession, key: str, host: str, hours_ago: int, spread: float) -> None:
    body = material.evaluation().model_dump(mode="json")
    body["latency"]["control"] = {"value": 1.0, "low": 1 - spread, "high": 1.0}
    SessionStep.objects.create(
        session=session,
        key=key,
        kind=StepKind.EVALUATE,
        status=Status.COMPLETED,
        worker=f"{host}:1",
        result=body,
        finished_at=timezone.now() - timedelta(hours=hours_ago),
    )


@pytest.mark.django_db
def test_a_worker_that_starts_anew_knows_what_its_machine_measured_last(session: OptimizationSession) -> None:
    here = socket.gethostname()
    evaluated(session, "old", here, hours_ago=3, spread=0.5)
    evaluated(session, "last", here, hours_ago=2, spread=0.07)
    evaluated(session, "elsewhere", f"{here}x", hours_ago=1, spread=0.9)
    workers.report(["cpu"])
    health = Worker.objects.get().health
    assert health is not None
    assert health.spread == pytest.approx(0.07)
    assert timezone.now() - health.at > timedelta(hours=1)
