"""A session's log: its lines carry the ids from the request to the child, and it can be downloaded as a whole."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import dramatiq
import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncRequestFactory, Client
from django.urls import reverse
from dramatiq import MessageProxy
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.agents.contracts.state import Status
from apps.models.models import DataSet, ModelVersion
from apps.monitoring.carrying import CarriedIds
from apps.optimization import session_log, workers
from apps.optimization.models import LogEntry, OptimizationSession
from apps.optimization.session_log import Form, log_response
from lathe.logs import HEADER, json_lines
from tests.optimization import crank

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def worker_log() -> Iterator[io.StringIO]:
    """What workers write to their log, as JSON."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(json_lines())
    logger = logging.getLogger("apps.optimization")
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def work_as_a_worker_does() -> None:
    """Does what the messages say, with the middleware that carries ids, until there are none."""
    broker, middleware = dramatiq.get_broker(), CarriedIds()
    while batch := list(crank.messages()):
        for message in batch:
            proxy = MessageProxy(message)
            middleware.before_process_message(broker, proxy)
            broker.get_actor(message.actor_name).fn(*message.args)
            middleware.after_process_message(broker, proxy)


@pytest.mark.children
@pytest.mark.usefixtures("stored", "small_handlers", "impatient")
def test_ids_go_from_the_page_to_the_child(
    version: ModelVersion, dataset: DataSet, engineer: User, worker_log: io.StringIO
) -> None:
    api = APIClient()
    api.force_authenticate(engineer)
    body = {"version": version.pk, "dataset": dataset.pk, "criteria": {}}
    started = api.post("/api/v1/sessions/", body, format="json")
    assert started.status_code == 201, started.content
    work_as_a_worker_does()
    session = OptimizationSession.objects.get(pk=started.json()["id"])
    assert session.status == Status.COMPLETED
    told = session.log.get(message="A layer was found.")
    common = {"request": started[HEADER], "team": str(session.team_id), "session": str(session.pk)}
    assert told.context.items() >= {**common, "step": "analyse", "attempt": "1", "worker": workers.name()}.items()
    lines = [json.loads(line) for line in worker_log.getvalue().splitlines()]
    (of_child,) = [line for line in lines if line["message"] == "A layer was found."]
    assert of_child.items() >= told.context.items()
    assert of_child["logger"] == "apps.optimization.runner.child"
    of_candidates = [line for line in lines if line.get("candidate")]
    assert {(line["step"], line["candidate"]) for line in of_candidates} >= {
        ("c01/optimize", "c01"),
        ("c01/judge", "c01"),
    }
    assert all(line.items() >= common.items() for line in of_candidates)
    assert not any("step" in line for line in lines if line.get("actor") == "advance")


# --- the download ----------------------------------------------------------------------------------------------------


@pytest.fixture
def logged(session: OptimizationSession, monkeypatch: pytest.MonkeyPatch) -> OptimizationSession:
    """A session with a log of more than one portion."""
    monkeypatch.setattr(session_log, "LINES_AT_ONCE", 3)
    session.log.all().delete()
    session.steps.create(key="evaluate/c01", kind="evaluate", candidate_key="c01")
    session.log.create(message="An old line.", step_key="evaluate/c01", context={})
    session.log.create(message="First\nsecond “line”", level="warning", context={"worker": "w:1", "request": "r"})
    for number in range(5):
        session.log.create(message=f"Line {number}")
    return session


def body_of(response: Any) -> str:
    assert response.status_code == 200
    return b"".join(response.streaming_content).decode()


def test_a_member_downloads_it_as_text(client: Client, viewer: User, logged: OptimizationSession) -> None:
    client.force_login(viewer)
    response = client.get(reverse("optimization:session-log-text", args=[logged.pk]))
    assert response["Content-Disposition"] == f'attachment; filename="session-{logged.pk}.txt"'
    lines = body_of(response).splitlines()
    assert len(lines) == LogEntry.objects.filter(session=logged).count() + 1
    assert lines[0].endswith("info    [evaluate/c01] An old line.")
    assert lines[1].endswith("warning [w:1] First")
    assert lines[2] == "    second “line”"


@pytest.mark.parametrize("door", ["page", "api"])
def test_a_member_downloads_it_as_json_lines(
    client: Client, viewer: User, logged: OptimizationSession, door: str
) -> None:
    client.force_login(viewer)
    page = reverse("optimization:session-log-lines", args=[logged.pk])
    response = client.get(page if door == "page" else f"/api/v1/sessions/{logged.pk}/log/file/")
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    first, second, *others = [json.loads(line) for line in body_of(response).splitlines()]
    assert len(others) == 5
    assert (first["session"], first["step"], first["candidate"]) == (str(logged.pk), "evaluate/c01", "c01")
    assert (second["message"], second["worker"], second["request"]) == ("First\nsecond “line”", "w:1", "r")


@pytest.mark.parametrize("address", ["/sessions/{}/log.txt", "/sessions/{}/log.jsonl", "/api/v1/sessions/{}/log/file/"])
def test_a_stranger_does_not_get_it(client: Client, stranger: User, logged: OptimizationSession, address: str) -> None:
    client.force_login(stranger)
    assert client.get(address.format(logged.pk)).status_code == 404


def test_under_asgi_it_is_sent_in_portions_too(logged: OptimizationSession) -> None:
    response = log_response(AsyncRequestFactory().get("/"), logged, Form.LINES)

    @async_to_sync
    async def portions() -> list[bytes]:
        return [piece async for piece in response]

    assert [portion.count(b"\n") for portion in portions()] == [3, 3, 1]


def test_the_page_links_to_it(client: Client, viewer: User, logged: OptimizationSession) -> None:
    client.force_login(viewer)
    page = client.get(logged.get_absolute_url()).content.decode()
    assert reverse("optimization:session-log-text", args=[logged.pk]) in page
    assert reverse("optimization:session-log-lines", args=[logged.pk]) in page
