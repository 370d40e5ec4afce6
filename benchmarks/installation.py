"""A Lathe of a benchmark's own over PostgreSQL and Redis: made for it, run as separate processes, and removed.

with installed(DATABASE, REDIS) as place:      # Django is set up from here on, in this process as well
    with place.web(), place.workers("default", "cpu"):
        …
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from lathe.processes import Child

ROOT = Path(__file__).resolve().parents[1]
SERVER = "postgres://postgres@127.0.0.1:5432"
REDIS = "redis://127.0.0.1:6379"
SIMULATED = "benchmarks.simulated_actors"


@dataclass(frozen=True)
class Place:
    """Where the installation keeps its files and logs, and how its processes are started."""

    folder: Path

    @property
    def logs(self) -> Path:
        return self.folder / "log"

    @contextmanager
    def web(self) -> Iterator[WebServer]:
        """The web server, as `manage.py run` starts it."""
        from django.conf import settings

        from lathe import portal
        from lathe.processes import stop

        address = portal.free_address("127.0.0.1", None, first=8100)
        child = portal.web(address, settings.LATHE, self.logs)
        child.start()
        try:
            wait_until(lambda: portal.is_up(address), "the web server answers", 300)
            yield WebServer(address.url, _id_of(child))
        finally:
            stop(child)

    @contextmanager
    def workers(self, *queues: str, processes: int = 1) -> Iterator[None]:
        """The workers of `queues` as the portal starts them, `processes` of each queue that measures."""
        from lathe import portal

        children = [
            portal.worker(queue, self.logs, name=f"worker-{queue}-{number}")
            for queue in queues
            for number in range(processes if queue == "cpu" else 1)
        ]
        with self._running(children):
            yield

    @contextmanager
    def simulated_workers(self, processes: int, **simulated: object) -> Iterator[None]:
        """Workers whose steps only take their time (`benchmarks.simulated_actors`, which names what it is told), and
        one for the queue `default`.
        """
        told = {f"SIMULATED_{name.upper()}": str(value) for name, value in simulated.items()}
        children = [self._simulated("cpu", number, told) for number in range(processes)]
        with self._running([*children, self._simulated("default", 0, told)]):
            yield

    def _simulated(self, queue: str, number: int, told: Mapping[str, str]) -> Child:
        from lathe import portal

        child = portal.worker(queue, self.logs, name=f"simulated-{queue}-{number}", environment=told)
        actors = set(portal.actor_modules())
        child.command = [*(part for part in child.command if part not in actors), SIMULATED]
        return child

    @contextmanager
    def _running(self, children: list[Child]) -> Iterator[None]:
        from apps.optimization.models import Worker
        from lathe.processes import stop

        with ExitStack() as stack:
            for child in children:
                child.start()
                stack.callback(stop, child)
            names = {_id_of(child) for child in children}
            wait_until(lambda: names <= _told_by(Worker.objects.alive()), "all workers have told of themselves", 300)
            yield


@dataclass(frozen=True)
class WebServer:
    url: str
    pid: int


def _id_of(child: Child) -> int:
    assert child.process is not None
    return int(child.process.pid)


def _told_by(workers: object) -> set[int]:
    """The processes that started these workers: Dramatiq forks the one that works from the one that was started."""
    import psutil

    found = set()
    for worker in workers:  # type: ignore[attr-defined]
        try:
            found |= {one.pid for one in psutil.Process(int(worker.name.rpartition(":")[2])).parents()}
        except psutil.NoSuchProcess:
            continue
    return found


@contextmanager
def installed(database: str, redis_url: str, **environment: str) -> Iterator[Place]:
    """An installation with an empty database and an empty index of Redis, all of which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="lathe-benchmark-") as folder, fresh(database, redis_url):
        os.environ |= {
            "DATABASE_URL": database,
            "REDIS_URL": redis_url,
            "LATHE_VAR_DIR": folder,
            "LATHE_ALLOWED_HOSTS": "testserver,127.0.0.1,localhost",
            "LATHE_LOG_LEVEL": "WARNING",
            "DJANGO_SETTINGS_MODULE": "lathe.settings",
            **environment,
        }
        sys.path[:0] = [str(ROOT / "platform"), str(ROOT)]
        import django

        django.setup()
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
            cwd=ROOT,
            check=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path[:2])},
        )
        yield Place(Path(folder))


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
        try:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        except psycopg.errors.DuplicateDatabase:
            raise SystemExit(f"The database {name} exists: drop it, or name another with --database") from None
        try:
            yield
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
            client.flushdb()


def wait_until(true: Callable[[], object], what: str, longest_s: float = 900.0, every_s: float = 0.25) -> None:
    """Asks every `every_s` seconds. Ends the benchmark if it is not true after `longest_s`."""
    end = time.monotonic() + longest_s
    while not true():
        if time.monotonic() > end:
            raise SystemExit(f"It took more than {longest_s:.0f} s until {what}.")
        time.sleep(every_s)
