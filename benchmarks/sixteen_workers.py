"""How busy sixteen workers are: `python -m benchmarks.sixteen_workers`, some minutes.

A session of 64 candidates runs on the real queue (Redis) and a real database (PostgreSQL), with sixteen worker
processes. A step waits for 20 to 40 seconds instead of working (`benchmarks.simulated_actors`), so that workers do not
compete for cores. Printed is the share of their time in which they ran a step, from the first candidate's start until
the last one was started: after that there is not work for all of them.

It makes a database and empties one index of Redis before and after: name others with `--database` and `--redis`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
WORKERS = 16
DATABASE = "postgres://postgres@127.0.0.1:5432/lathe_sixteen_workers"
REDIS = "redis://127.0.0.1:6379/11"
LONGEST_S = 900.0


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--database", default=DATABASE)
    asked.add_argument("--redis", default=REDIS)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder, fresh(given.database, given.redis):
        os.environ |= {
            "DATABASE_URL": given.database,
            "REDIS_URL": given.redis,
            "LATHE_VAR_DIR": folder,
            "DJANGO_SETTINGS_MODULE": "lathe.settings",
            "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}",
        }
        sys.path[:0] = [str(ROOT / "platform"), str(ROOT)]
        import django

        django.setup()
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, check=True)
        with working("cpu", processes=WORKERS), working("default", processes=1):
            measure()


@contextmanager
def fresh(database: str, redis_url: str) -> Iterator[None]:
    """An empty database and an empty index of Redis, which are removed afterwards."""
    import psycopg
    import redis

    name, server = urlsplit(database).path[1:], database.rsplit("/", 1)[0] + "/postgres"
    client = redis.Redis.from_url(redis_url)
    if client.dbsize():
        raise SystemExit(f"{redis_url} is not empty: name another index with --redis")
    with psycopg.connect(server.replace("postgres://", "postgresql://"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            yield
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
            client.flushdb()


@contextmanager
def working(queue: str, *, processes: int) -> Iterator[None]:
    """Worker processes for a queue, as the portal starts them but for what their steps do."""
    from lathe.portal import IDLE_POLL_MS, THREADS

    threads = str(THREADS.get(queue, 1))
    many = ("--processes", str(processes), "--threads", threads, "--queues", queue, "--skip-logging")
    modules = ("django_dramatiq.setup", "benchmarks.simulated_actors")
    polling = {"dramatiq_queue_prefetch": threads, "dramatiq_worker_timeout": str(IDLE_POLL_MS)}
    environment = os.environ | {"LATHE_QUEUES": queue} | polling
    child = subprocess.Popen([sys.executable, "-m", "dramatiq", *many, *modules], cwd=ROOT, env=environment)
    try:
        yield
    finally:
        child.terminate()
        child.wait(60)


def measure() -> None:
    from apps.optimization import workers

    wait_until(lambda: len(workers.working_on("cpu", workers.alive())) == WORKERS, "all workers live")
    session = start()
    wait_until(lambda: _has_ended(session), "the session ends")
    steps = list(session.steps.filter(kind__in=("optimize", "evaluate"), finished_at__isnull=False))
    print(f"The session is {session.status}; {len(steps)} steps of candidates ran.")
    print(busy(steps))


def _has_ended(session: Any) -> bool:
    session.refresh_from_db()
    return session.status in ("failed", "completed")


def start() -> Any:
    """A session on a model whose file is in the store."""
    from apps.accounts.models import Membership, Role, Team, User
    from apps.agents.contracts.criteria import Budget, Criteria
    from apps.models.storage import put_stream
    from apps.optimization.services import session_start
    from benchmarks.simulated_actors import CANDIDATES
    from tests.optimization import material
    from tests.optimization.conftest import make_dataset, make_version

    user = User.objects.create_user("somebody@example.org", "a password of some length")
    team = Team.objects.create(name="Somebody's", slug="somebody")
    Membership.objects.create(team=team, user=user, role=Role.ENGINEER)
    version, dataset = make_version(team, user), make_dataset(team, user)
    for row, content in ((version, material.onnx_bytes()), (dataset, b"the data")):
        row.blob = put_stream([content])
        row.save(update_fields=["blob"])
    budget = Budget(minutes=600, candidates=CANDIDATES)
    criteria = Criteria(budget=budget, forbidden_techniques=("onnx-graph",))
    return session_start(user=user, version=version, dataset=dataset, criteria=criteria, seed=7)


def busy(steps: list[Any]) -> str:
    """The share of all workers' time in which they ran a step while there was work for all of them."""
    begin = min(step.started_at for step in steps)
    made = sorted(step.started_at for step in steps if step.kind == "optimize")
    end: datetime = made[-1]
    window_s = (end - begin).total_seconds()
    ran_s = sum(max(0.0, (min(step.finished_at, end) - step.started_at).total_seconds()) for step in steps)
    share = ran_s / (WORKERS * window_s)
    return f"{share:.1%} busy over {window_s:.0f} s, until the last of {len(made)} candidates was started."


def wait_until(true: Any, what: str) -> None:
    end = time.monotonic() + LONGEST_S
    while not true():
        if time.monotonic() > end:
            raise SystemExit(f"It took too long until {what}.")
        time.sleep(1.0)


if __name__ == "__main__":
    main()
