"""A whole installation as processes: PostgreSQL, Redis, a web server, and a worker for each queue."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dramatiq
import psycopg
import redis
from dramatiq.brokers.redis import RedisBroker

from lathe import portal
from lathe.env import PROJECT_ROOT, Environment
from lathe.processes import Child, python, python_path, stop
from lathe.redis import embedded
from tests.faults.bucket import KEYS, Bucket, storage_url
from tests.faults.disk import Disk
from tests.faults.member import Member
from tests.faults.postgres import Cluster
from tests.faults.wire import Wire
from tests.live_portal import environment_in, free_port
from tests.optimization import handlers
from tests.waiting import wait_until

NAMESPACE = "lathe.dramatiq"
SETTINGS = "tests.faults.settings"
WORKERS = ("worker-default", "worker-checks", "worker-cpu")
START_S = 240.0


class System:
    """Made by `running_system`. The worker of the queue `cpu` reaches database, Redis and a bucket over wires."""

    def __init__(self, folder: Path, *, with_bucket: bool) -> None:
        self.folder, self.var = folder, folder / "var"
        self.cluster = Cluster(folder / "postgres", free_port())
        self.redis_port = free_port()
        self.bucket = Bucket(folder) if with_bucket else None
        self.wires = {"database": Wire(self.cluster.port), "redis": Wire(self.redis_port)}
        if self.bucket:
            self.wires["bucket"] = Wire(self.bucket.port)
        self.address = portal.Address("127.0.0.1", free_port())
        self.scratch, self.store = Disk(self.var / "scratch"), Disk(self.var / "files")
        self.gates = self.var / handlers.GATES
        self.children: dict[str, Child] = {}
        ports = {"database": self.cluster.port, "redis": self.redis_port}
        self.environment = self._environment(ports | ({"bucket": self.bucket.port} if self.bucket else {}))
        self.member: Member

    # --- processes ---------------------------------------------------------------------------------------------------

    def start(self, name: str, **environment: str) -> None:
        child = self._made(name)
        child.environment = {**child.environment, **self._environment_of(name), **environment}
        child.start()
        self.children[name] = child

    def stop(self, name: str) -> None:
        """In order, as a service manager does."""
        stop(self.children.pop(name), grace_s=20)

    def kill(self, name: str) -> None:
        child = self.children.pop(name)
        child.signal(signal.SIGKILL)
        stop(child)

    def signal(self, name: str, number: int) -> None:
        self.children[name].signal(number)

    def _made(self, name: str) -> Child:
        if name == "postgres":
            return self.cluster.child()
        if name == "bucket":
            assert self.bucket
            return self.bucket.child()
        if name == "redis":
            child = embedded(self.folder / "redis.sock", self.folder, self.folder / "redis.log")
            return replace(child, command=(*child.command, "--port", str(self.redis_port)))
        if name == "web":
            return portal.web(self.address, Environment.read(self.environment), self.folder)
        _, queue, *_ = name.split("-")
        child = portal.worker(queue, self.folder, name=name)
        return replace(child, command=(*child.command, "tests.faults.in_workers"))

    def _environment(self, ports: Mapping[str, int]) -> dict[str, str]:
        return {
            **(KEYS if self.bucket else {}),
            "DJANGO_SETTINGS_MODULE": SETTINGS,
            "LATHE_VAR_DIR": str(self.var),
            "DATABASE_URL": f"postgres://lathe@127.0.0.1:{ports['database']}/lathe",
            "REDIS_URL": f"redis://127.0.0.1:{ports['redis']}/0",
            "STORAGE_URL": storage_url(ports["bucket"]) if self.bucket else f"file://{self.store.folder}",
            "LATHE_BASE_URL": self.address.url,
        }

    def _environment_of(self, name: str) -> dict[str, str]:
        if name.startswith("worker-cpu"):
            return self._environment({name: wire.port for name, wire in self.wires.items()})
        if name == "web":  # It keeps connections, as compose.yaml has it.
            return self.environment | {"DATABASE_URL": f"{self.environment['DATABASE_URL']}?pool=20"}
        return {} if name in ("postgres", "redis", "bucket") else self.environment

    def command(self, *arguments: str) -> str:
        """What a command of the installation prints. It must succeed."""
        variables = {**environment_in(self.var), **self.environment, "PYTHONPATH": python_path()}
        done = subprocess.run(
            python(*arguments), cwd=PROJECT_ROOT, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(arguments)[:80]}: {done.stdout}{done.stderr}"
        return done.stdout

    # --- whole again -------------------------------------------------------------------------------------------------

    def whole(self) -> bool:
        """Whether everything answers that a session needs."""
        stored = self.bucket is None or self.bucket.answers()
        return stored and self._redis_answers() and self.cluster.answers() and portal.is_up(self.address)

    def _redis_answers(self) -> bool:
        try:
            with self.redis() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    @contextmanager
    def redis(self) -> Iterator[redis.Redis]:
        client = redis.Redis(port=self.redis_port, socket_timeout=2)
        try:
            yield client
        finally:
            client.close()

    def send(self, message: dramatiq.Message) -> None:
        """Puts a message on its queue, whatever is in it."""
        broker = RedisBroker(url=self.environment["REDIS_URL"], namespace=NAMESPACE, middleware=[])
        broker.declare_queue(message.queue_name)
        broker.enqueue(message)
        broker.close()

    # --- rows --------------------------------------------------------------------------------------------------------

    def steps_of(self, session: str) -> list[int]:
        """The ids of its steps, which messages carry and the API does not tell."""
        return [row[0] for row in self._rows("SELECT id FROM optimization_sessionstep WHERE session_id = %s", session)]

    def set_limits(self, **limits: int) -> None:
        """What operators change in the admin."""
        changes = ", ".join(f"{name} = %s" for name in limits)
        found = self._rows(f"UPDATE optimization_pipelinesettings SET {changes} RETURNING id", *limits.values())  # noqa: S608
        assert found, "the pipeline has no settings yet"

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.cluster.url) as connection:
            return connection.execute(query, values).fetchall()  # type: ignore[arg-type]

    def told(self) -> str:
        """The last words of every process, for a trial that failed."""
        logs = (path for path in sorted(self.folder.glob("*.log")) if path.stat().st_size)
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in logs)


Furnish = Callable[[System], Mapping[str, object]]
"""Fills database and store, and returns what `Member` is told."""


def furnished(system: System) -> Mapping[str, object]:
    system.command("manage.py", "migrate", "--verbosity", "0")
    found: Mapping[str, object] = json.loads(system.command("-m", "tests.faults.furnish"))
    return found


@contextmanager
def running_system(
    tell: Callable[[str], object] = lambda line: None, furnish: Furnish = furnished, *, with_bucket: bool = False
) -> Iterator[System]:
    """One that is furnished, whose workers have reported themselves, with a folder as its store or a bucket."""
    with tempfile.TemporaryDirectory(prefix="lathe-faults-", ignore_cleanup_errors=True) as folder, ExitStack() as left:
        Path(folder).chmod(0o755)  # PostgreSQL is another user.
        system = System(Path(folder), with_bucket=with_bucket)
        left.callback(_end, system)
        began = time.monotonic()
        _serve(system, furnish)
        tell(f"The installation has started, in {time.monotonic() - began:.0f} s.")
        yield system


def _serve(system: System, furnish: Furnish) -> None:
    system.cluster.create()
    for name in ("postgres", "redis"):
        system.start(name)
    if system.bucket:
        system.start("bucket")
        wait_until(system.bucket.answers, "The bucket", START_S)
        system.bucket.make()
    wait_until(system.cluster.answers, "PostgreSQL", START_S)
    system.var.mkdir()
    for disk in (system.scratch, system.store):
        disk.mount()
    system.gates.mkdir()
    told = furnish(system)
    for name in ("web", *WORKERS):
        system.start(name)
    wait_until(system.whole, "The portal", START_S)
    system.member = Member(system.address.url, told)
    wait_until(lambda: system.member.queues_served() >= {"default", "checks", "cpu"}, "The workers", START_S)


def _end(system: System) -> None:
    if hasattr(system, "member"):
        system.member.close()
    for name in reversed(list(system.children)):
        system.signal(name, signal.SIGCONT)
        stop(system.children[name], grace_s=3)
    for wire in system.wires.values():
        wire.close()
    for disk in (system.scratch, system.store):
        if os.path.ismount(disk.folder):
            disk.unmount()
