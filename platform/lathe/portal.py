"""Everything that one machine needs to serve Lathe: Redis (if none is given), migrations, workers, and the web server.

The commands `run`, `demo` and `worker` are thin wrappers around this module.
"""

from __future__ import annotations

import fcntl
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.utils.module_loading import module_has_submodule

from apps.agents.contracts.phrasing import listed
from apps.agents.contracts.sandbox import Sandbox, SandboxRule
from apps.agents.measuring import nvidia
from apps.agents.sandbox import cores
from apps.agents.sandbox.walls.closing import means
from apps.models import checks
from apps.models.messages import CHECKS_QUEUE
from lathe.env import PROJECT_ROOT, Environment
from lathe.processes import Child, Supervisor, python
from lathe.redis import UnsafeFolder, start_embedded

PORTS_TRIED = 20
SHUTDOWN_S = 5
"""How long a worker or the web server may take to finish. Interrupted steps are recovered when their lease expires."""
THREADS = {"default": 4, CHECKS_QUEUE: checks.AT_ONCE}
"""Threads per queue, one by default. Queues that measure have one, so that no second step disturbs a measurement."""
IDLE_POLL_MS = 200
"""How often a worker looks for delayed messages that are due, and, while busy, for what its thread has finished."""


class CannotStart(Exception):
    """The message tells the operator why Lathe cannot start here, and what to do."""


@dataclass(frozen=True)
class Address:
    host: str
    port: int

    @property
    def url(self) -> str:
        """The URL for a browser on this machine."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


@contextmanager
def only_one(var_dir: Path) -> Iterator[None]:
    """Locks the folder for this process. Raises `CannotStart` if another Lathe uses it."""
    lock = var_dir / "run.lock"
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(
                f"Lathe is already running in {var_dir}. Stop it first, or set LATHE_VAR_DIR to another folder."
            ) from None
        yield


def free_address(host: str, port: int | None, first: int = 8000) -> Address:
    """`port` if given and free, otherwise the first free port from `first`. Raises `CannotStart`."""
    candidates = [port] if port is not None else range(first, first + PORTS_TRIED)
    for candidate in candidates:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError:
                continue
        return Address(host, candidate)
    tried = f"Port {port} is" if port is not None else f"The ports {first} to {first + PORTS_TRIED - 1} are"
    raise CannotStart(f"{tried} in use on {host}. Choose another port with --port.")


def prepare(supervisor: Supervisor, environment: Environment) -> None:
    """Starts the bundled Redis if no other is given, and runs the migrations.

    Raises `CannotStart` if the cores or the sandbox do not exist or the folder of Redis belongs to another user,
    `ChildDied` or `TimeoutError`.
    """
    check_cores(environment)
    check_sandbox(environment, means(environment.sandbox))
    if environment.redis_is_embedded:
        var = environment.var_dir
        try:
            start_embedded(supervisor, environment.redis_socket, var / "redis", var / "log" / "redis.log")
        except UnsafeFolder as error:
            raise CannotStart(str(error)) from None
    call_command("migrate", verbosity=0, interactive=False)
    connections.close_all()


def check_cores(environment: Environment) -> None:
    """Raises `CannotStart` if this machine's workers cannot be bound to the cores in LATHE_CORES."""
    if environment.cores and (why := cores.missing(environment.cores)):
        raise CannotStart(f"LATHE_CORES is '{cores.written(environment.cores)}', which is invalid: {why}")


def check_sandbox(environment: Environment, sandbox: Sandbox) -> None:
    """Raises `CannotStart` if LATHE_SANDBOX asks for more than this system has."""
    if environment.sandbox is SandboxRule.REQUIRED and not sandbox.enough:
        raise CannotStart(
            "LATHE_SANDBOX is 'required', but this system cannot close steps in: uploaded code could "
            f"{listed(sandbox.gaps)}. Use a system that has what is named, or set LATHE_SANDBOX=best to do without."
        )


def workers(queue: str, log_dir: Path | None = None) -> Iterator[Child]:
    """The processes for one queue of this machine: one, and of the queue `gpu` one for each device."""
    devices = nvidia.devices() if queue == "gpu" else ()
    if len(devices) < 2:
        yield worker(queue, log_dir)
        return
    for number, device in enumerate(devices):
        yield worker(queue, log_dir, name=f"worker-{queue}-{number}", environment={nvidia.VISIBLE: device.uuid})


def worker(
    queue: str, log_dir: Path | None = None, *, name: str = "", environment: Mapping[str, str] | None = None
) -> Child:
    """One Dramatiq process for one queue, so that queues cannot starve each other. `environment` is added to its
    own.
    """
    name = name or f"worker-{queue}"
    return Child(
        name,
        python(
            *("-m", "dramatiq"),
            *("--processes", "1"),
            *("--threads", str(THREADS.get(queue, 1))),
            *("--queues", queue),
            *("--worker-shutdown-timeout", str(SHUTDOWN_S * 1000)),
            *("--path", str(PROJECT_ROOT / "platform"), str(PROJECT_ROOT)),
            "--skip-logging",
            "django_dramatiq.setup",
            *actor_modules(),
        ),
        environment={
            "DJANGO_SETTINGS_MODULE": "lathe.settings",
            "LATHE_QUEUES": queue,
            # A worker that is busy for minutes must not hold messages that an idle one could take.
            "dramatiq_queue_prefetch": str(THREADS.get(queue, 1)),
            "dramatiq_worker_timeout": str(IDLE_POLL_MS),
            **(environment or {}),
        },
        log=log_dir / f"{name}.log" if log_dir else None,
    )


def web(address: Address, environment: Environment, log_dir: Path | None = None) -> Child:
    """The web server. Links in mails begin with this address unless LATHE_BASE_URL is set."""
    given = environment.base_url_is_given
    return Child(
        "web",
        python(
            *("-m", "uvicorn", "lathe.asgi:application"),
            *("--host", address.host),
            *("--port", str(address.port)),
            "--no-proxy-headers",  # LATHE_TRUSTED_PROXIES defines which proxies to trust
            *("--timeout-graceful-shutdown", str(SHUTDOWN_S)),
            *("--log-level", "warning"),
        ),
        environment={"DJANGO_SETTINGS_MODULE": "lathe.settings"} | ({} if given else {"LATHE_BASE_URL": address.url}),
        log=log_dir / "web.log" if log_dir else None,
    )


def actor_modules() -> Iterable[str]:
    """The modules of all apps that define actors."""
    names: list[str] = settings.DRAMATIQ_AUTODISCOVER_MODULES
    for config in apps.get_app_configs():
        for name in names:
            if config.name.startswith("apps.") and module_has_submodule(config.module, name):
                yield f"{config.name}.{name}"


def serve(
    supervisor: Supervisor, environment: Environment, address: Address, queues: Iterable[str], log_dir: Path | None
) -> None:
    """Starts the workers and the web server and returns once the portal responds. Raises `ChildDied` or
    `TimeoutError`.
    """
    for queue in queues:
        for child in workers(queue, log_dir):
            supervisor.start(child)
    supervisor.start(web(address, environment, log_dir))
    supervisor.wait_until(lambda: is_up(address), "The web server")


def is_up(address: Address) -> bool:
    """Whether a server accepts connections at `address`."""
    host = "127.0.0.1" if address.host == "0.0.0.0" else address.host  # noqa: S104
    try:
        with socket.create_connection((host, address.port), timeout=1):
            return True
    except OSError:
        return False
