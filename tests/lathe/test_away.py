"""Redis or the database away, and hung: reading goes on, the rest is refused at once, nothing is half done."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dramatiq.broker
import pytest
from django.core.cache import caches
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.agents.contracts.state import Status
from apps.audit.models import AuditEvent
from apps.models.models import DataSet, ModelVersion, RegisteredModel, Upload
from apps.optimization import actors
from apps.optimization.models import OptimizationSession
from lathe.broker import Broker
from lathe.env import PROJECT_ROOT
from lathe.errors import RETRY_AFTER_S
from lathe.processes import Child, Supervisor, python_path
from lathe.redis import start_embedded
from lathe.settings import CACHES
from tests.portal import world
from tests.portal.world import World

BRIEF_S = 4.5
"""No answer takes longer, however Redis is away: less than one patience of the client's own."""


@pytest.fixture
def everything(team: Any, owner: User) -> World:
    return world.build(team, owner)


@pytest.fixture
def server(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    """The Redis behind cache and queue."""
    url = f"unix://{tmp_path}/redis.sock"
    with Supervisor() as supervisor:
        child = start_embedded(supervisor, tmp_path / "redis.sock", tmp_path / "data", tmp_path / "log")
        settings.CACHES = {"default": {**CACHES["default"], "LOCATION": url}}
        broker = Broker(url=url, middleware=[])
        monkeypatch.setattr(dramatiq.broker, "global_broker", broker)
        yield child
        child.signal(signal.SIGCONT)


@pytest.fixture(params=["away", "hung"])
def lost(request: pytest.FixtureRequest, server: Child) -> Callable[[], None]:
    """Takes Redis away; its connections have been used before."""
    assert dramatiq.get_broker().is_reachable()
    caches["default"].set("used", 1)

    def lose() -> None:
        server.signal(signal.SIGKILL if request.param == "away" else signal.SIGSTOP)
        if request.param == "away" and server.process is not None:
            server.process.wait()

    return lose


def asked(ask: Callable[[], Any]) -> Any:
    """The answer, which must not take long."""
    began = time.monotonic()
    answer = ask()
    assert time.monotonic() - began < BRIEF_S
    return answer


def refused(answer: Any) -> None:
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, str(RETRY_AFTER_S)), answer.content[:500]


@pytest.mark.django_db
def test_reading_goes_on_without_redis(
    client: Client, everything: World, owner: User, lost: Callable[[], None]
) -> None:
    client.force_login(owner)
    lost()
    session = everything.session
    pages = ("", "sessions/", f"sessions/{session.pk}/", "models/", "datasets/", "workers/", "audit/")
    routes = ("me/", "models/", "versions/", "datasets/", "sessions/", f"sessions/{session.pk}/log/", "techniques/")
    for path in (*pages, *(f"api/v1/{route}" for route in routes)):
        assert asked(lambda path=path: client.get(f"/{path}")).status_code == 200, path


@pytest.mark.django_db
def test_limits_hold_without_redis(client: Client, engineer: User, lost: Callable[[], None]) -> None:
    lost()
    wrong = {"login": engineer.email, "password": "wrong"}
    pages = [asked(lambda: client.post(reverse("account_login"), wrong)) for _ in range(7)]
    assert b"Too many failed login attempts" in pages[-1].content
    assert 429 in {client.get("/api/schema/").status_code for _ in range(61)}


@pytest.mark.django_db
def test_what_workers_must_take_up_is_refused_whole(
    client: Client, everything: World, owner: User, lost: Callable[[], None]
) -> None:
    client.force_login(owner)
    failed = OptimizationSession.objects.create(
        team=everything.team,
        version=everything.version,
        dataset=everything.dataset,
        criteria_body=everything.session.criteria_body,
        seed=1,
        status=Status.FAILED,
    )
    upload = begun_upload(client)
    lost()
    question = {
        "version": everything.version.pk,
        "dataset": everything.dataset.pk,
        "criteria_set": everything.criteria.pk,
    }
    spec = {"kind": "npz", "task": "classification"}
    before = counts()
    for route, body in (
        ("sessions/", question),
        (f"sessions/{failed.pk}/resume/", {}),
        (f"sessions/{everything.session.pk}/retry/", {}),
        ("versions/", {"model": everything.model.pk, "upload": upload}),
        ("datasets/", {"name": "More", "spec": spec, "upload": upload}),
    ):
        answer = asked(lambda route=route, body=body: client.post(f"/api/v1/{route}", body, "application/json"))
        refused(answer)
        assert (answer["Content-Type"], answer.json()["code"]) == ("application/problem+json", "service.queue_away")
    failed.refresh_from_db()
    assert (failed.status, counts()) == (Status.FAILED, before)
    assert Upload.objects.filter(pk=upload).exists(), "it can be used once the queue is back"


@pytest.mark.django_db(transaction=True)
def test_what_is_stopped_is_stopped_without_redis(
    client: Client, everything: World, owner: User, lost: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row says so; a worker looks there."""
    monkeypatch.setattr(actors.advance, "broker", dramatiq.get_broker())
    OptimizationSession.objects.update(status=Status.RUNNING)
    client.force_login(owner)
    lost()
    answer = asked(lambda: client.post(f"/api/v1/sessions/{everything.session.pk}/cancel/"))
    assert (answer.status_code, bool(answer.json()["cancel_requested_at"])) == (200, True)


@pytest.mark.django_db
def test_pages_say_that_it_cannot_be_begun_now(
    client: Client, everything: World, owner: User, lost: Callable[[], None]
) -> None:
    client.force_login(owner)
    upload = begun_upload(client)
    question = {
        "version": everything.version.pk,
        "dataset": everything.dataset.pk,
        "criteria_set": everything.criteria.pk,
    }
    lost()
    before = counts()
    for path, body in (
        (reverse("optimization:session-retry", args=[everything.session.pk]), {}),
        (reverse("models:model-upload"), {"name": "New", "upload": upload}),
        (reverse("optimization:session-new"), question),
    ):
        answer = asked(lambda path=path, body=body: client.post(path, body))
        refused(answer)
        assert "nothing was started" in answer.content.decode()
    assert counts() == before


def begun_upload(client: Client) -> str:
    content = b"\x08\x07" * 50
    made = client.post("/api/v1/uploads/", {"filename": "a.onnx", "size_bytes": len(content)}, "application/json")
    headers = {"Upload-Offset": "0"}
    path = f"/api/v1/uploads/{made.json()['id']}/"
    assert client.patch(path, content, "application/octet-stream", headers=headers).status_code == 200
    return str(made.json()["id"])


def counts() -> dict[Any, int]:
    rows = (OptimizationSession, ModelVersion, RegisteredModel, DataSet, Upload, AuditEvent)
    return {row: row.objects.count() for row in rows}


# --- the database ----------------------------------------------------------------------------------------------------

ASKING = """
import asyncio, time, django
django.setup()
from django.test import AsyncClient, Client

print("health", Client().get("/health/").status_code)
headers = {"Cookie": "sessionid=" + "x" * 32, "Authorization": "Bearer " + "y" * 64}
client = Client(raise_request_exception=False, headers=headers)
for path in ("/", "/api/v1/models/"):
    began = time.monotonic()
    answer = client.get(path)
    media = answer["Content-Type"].partition(";")[0]
    print(path, answer.status_code, answer.get("Retry-After"), media, time.monotonic() - began < 8)
answer = asyncio.run(AsyncClient(raise_request_exception=False).get("/api/v1/models/", headers=headers))
print("async", answer.status_code, answer.get("Retry-After"), answer.json()["code"])
"""


@pytest.fixture(params=["away", "hung"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a PostgreSQL that refuses connections, or takes them and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if request.param == "hung":
            listener.listen(50)
        yield f"postgres://lathe:secret@127.0.0.1:{listener.getsockname()[1]}/lathe"


def test_without_the_database_pages_and_api_say_so(database_url: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASKING],
        cwd=PROJECT_ROOT,
        env={
            "PYTHONPATH": python_path(),
            "DJANGO_SETTINGS_MODULE": "lathe.settings",
            "LATHE_VAR_DIR": str(tmp_path),
            "LATHE_ALLOWED_HOSTS": "testserver",
            "DATABASE_URL": database_url,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "health 200",
        "/ 503 5 text/html True",
        "/api/v1/models/ 503 5 application/problem+json True",
        "async 503 5 request.database_away",
    ]
