"""`/ready/` says what is missing, and 503 as soon as one thing is."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import Any

import dramatiq.broker
import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.utils import OperationalError
from django.test import Client, override_settings
from django.utils import timezone

from apps.optimization.models import Worker
from lathe import readiness
from lathe.broker import Broker
from lathe.env import Environment, WrongVariable
from lathe.processes import Supervisor
from lathe.readiness import PROBES
from lathe.redis import start_embedded
from lathe.settings import SECURE_REDIRECT_EXEMPT

pytestmark = pytest.mark.django_db
NAMES = ["database", "redis", "store", "migrations", "workers"]


@pytest.fixture
def served() -> list[Worker]:
    """A live worker for each queue that is needed."""
    return [Worker.objects.create(name=queue, queues=[queue]) for queue in ("default", "checks", "cpu")]


def asked(client: Client) -> tuple[int, dict[str, dict[str, Any]]]:
    """The status, and the checks by name."""
    readiness.last_answer.forget()
    answer = client.get("/ready/")
    body = answer.json()
    assert [check["name"] for check in body["checks"]] == NAMES
    assert all(check["sentence"].endswith(".") for check in body["checks"])
    assert body["status"] == ("ready" if answer.status_code == 200 else "not ready")
    return answer.status_code, {check["name"]: check for check in body["checks"]}


def failing(checks: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, check in checks.items() if not check["ok"]]


def test_it_is_ready_for_everyone_if_all_holds(client, served):
    status, checks = asked(client)
    assert (status, failing(checks)) == (200, [])
    assert checks["workers"]["sentence"] == "Live workers serve default, checks and cpu."
    assert default_storage.listdir(PROBES)[1] == []


def test_plain_http_is_answered_as_for_health():
    assert SECURE_REDIRECT_EXEMPT == [r"^(health|ready|metrics)/$"]


def test_a_queue_whose_worker_is_silent_is_named(client, served):
    Worker.objects.filter(name="cpu").update(seen_at=timezone.now() - timedelta(minutes=2))
    status, checks = asked(client)
    assert (status, failing(checks)) == (503, ["workers"])
    assert checks["workers"]["sentence"] == "No live worker serves cpu."


def test_a_balancer_may_leave_workers_out_and_nothing_that_does_not_exist(client):
    status, checks = asked(client)
    assert (status, failing(checks)) == (503, ["workers"])
    answer = client.get("/ready/?except=workers")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert answer.json()["checks"][-1]["ok"] is False
    answer = client.get("/ready/?except=worker")
    assert (answer.status_code, "no check called worker." in answer.json()["sentence"]) == (400, True)


def test_only_the_queues_that_the_operator_needs_count(client, served, settings):
    settings.LATHE = dataclasses.replace(settings.LATHE, needed_queues=("default", "gpu"))
    status, checks = asked(client)
    assert (status, checks["workers"]["sentence"]) == (503, "No live worker serves gpu.")


def test_a_queue_that_does_not_exist_is_refused():
    with pytest.raises(WrongVariable, match=r"LATHE_NEEDED_QUEUES is 'cpus', .* out of default, checks, cpu, gpu"):
        Environment.read({"LATHE_NEEDED_QUEUES": "cpus"})


def test_a_missing_migration_is_noticed(client, served):
    ((app, newest),) = MigrationLoader(connection).graph.leaf_nodes("notifications")
    MigrationRecorder(connection).record_unapplied(app, newest)
    status, checks = asked(client)
    assert (status, failing(checks)) == (503, ["migrations"])
    assert "Run manage.py migrate." in checks["migrations"]["sentence"]


def test_a_store_that_cannot_be_written_is_noticed(client, served, tmp_path: Path):
    """Not by permissions, which do not bind a superuser: where its folder should be, there is a file."""
    in_the_way = tmp_path / "store"
    in_the_way.write_text("")
    files = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(in_the_way)}}
    with override_settings(STORAGES={"default": files}):
        status, checks = asked(client)
    assert (status, failing(checks)) == (503, ["store"])
    assert str(tmp_path) not in checks["store"]["sentence"]


def test_redis_that_has_gone_is_noticed(client, served, tmp_path: Path, monkeypatch):
    with Supervisor() as supervisor:
        start_embedded(supervisor, tmp_path / "redis.sock", tmp_path / "data", tmp_path / "log")
        broker = Broker(url=f"unix://{tmp_path}/redis.sock", middleware=[])
        monkeypatch.setattr(dramatiq.broker, "global_broker", broker)
        assert failing(asked(client)[1]) == []
    status, checks = asked(client)
    assert (status, failing(checks)) == (503, ["redis"])


def test_without_the_database_the_rest_is_still_checked(client, served):
    def away(*_: object) -> None:
        raise OperationalError("connection refused by db.internal:5432")

    with connection.execute_wrapper(away):
        status, checks = asked(client)
    assert (status, failing(checks)) == (503, ["database", "migrations", "workers"])
    assert "db.internal" not in str(checks)
    assert checks["workers"]["sentence"] == "Not known while the database does not answer."


def test_many_questions_cost_one_look(client, served, django_assert_num_queries):
    asked(client)
    with django_assert_num_queries(0):
        assert client.get("/ready/").status_code == 200
