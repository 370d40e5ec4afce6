"""What is done to a running installation. Each strike is a context: it is struck on entry, and mended on exit."""

from __future__ import annotations

import json
import os
import shutil
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass

import dramatiq
import psutil

from tests.faults.bucket import refusing
from tests.faults.system import NAMESPACE, System
from tests.faults.variables import AHEAD
from tests.faults.wire import Fault, Wire
from tests.live_portal import free_port

NO_STEP = 2**40


@dataclass(frozen=True)
class Moment:
    """When a strike falls."""

    system: System
    session: str
    child: int | None
    """The process of the step at work, which waits; `None` before the session has one."""


Strike = Callable[[Moment], AbstractContextManager[None]]


def killed(name: str) -> Strike:
    """kill -9 of a server with all its processes, and started again at once."""

    @contextmanager
    def strike(at: Moment) -> Iterator[None]:
        at.system.kill(name)
        at.system.start(name)
        yield

    return strike


def away(name: str) -> Strike:
    """kill -9, and started again in the end."""

    @contextmanager
    def strike(at: Moment) -> Iterator[None]:
        at.system.kill(name)
        yield
        at.system.start(name)

    return strike


def restarted(name: str) -> Strike:
    """Stopped in order, as by a service manager, and started again."""

    @contextmanager
    def strike(at: Moment) -> Iterator[None]:
        at.system.stop(name)
        at.system.start(name)
        yield

    return strike


def paused(name: str) -> Strike:
    """It hangs: its connections stay, and nothing answers."""

    @contextmanager
    def strike(at: Moment) -> Iterator[None]:
        at.system.signal(name, signal.SIGSTOP)
        try:
            yield
        finally:
            at.system.signal(name, signal.SIGCONT)

    return strike


@contextmanager
def child_killed(at: Moment) -> Iterator[None]:
    assert at.child
    os.kill(at.child, signal.SIGKILL)
    yield


@contextmanager
def child_paused(at: Moment) -> Iterator[None]:
    assert at.child
    process = psutil.Process(at.child)
    process.suspend()
    yield
    with suppress(psutil.NoSuchProcess):
        process.resume()


@contextmanager
def another_takes_over(at: Moment) -> Iterator[None]:
    """The worker hangs for longer than its lease while a second one serves its queue."""
    name = "worker-cpu-second"
    at.system.start(name)
    with paused("worker-cpu")(at):
        yield
    at.system.stop(name)


@contextmanager
def messages_lost(at: Moment) -> Iterator[None]:
    """Redis comes back without anything, as where its volume was lost."""
    with at.system.redis() as client:
        client.flushall()
    yield


def silent(*wires: str) -> Strike:
    """The network between the worker and these servers carries nothing, and tells nobody."""

    @contextmanager
    def strike(at: Moment) -> Iterator[None]:
        with ExitStack() as stack:
            for wire in wires:
                stack.enter_context(at.system.wires[wire].silent())
            yield

    return strike


@contextmanager
def cut(at: Moment) -> Iterator[None]:
    """Every connection of the worker breaks."""
    for wire in at.system.wires.values():
        wire.cut()
    yield


@contextmanager
def store_away(at: Moment) -> Iterator[None]:
    with at.system.store.away():
        yield


@contextmanager
def store_full(at: Moment) -> Iterator[None]:
    with at.system.store.full():
        yield


def bucket(fault: Callable[[Wire], AbstractContextManager[None]]) -> Strike:
    """What is wrong between the worker and the bucket. Before a session, the worker has no copies of files either."""

    @contextmanager
    def strike(at: Moment) -> Iterator[None]:
        if at.child is None:
            shutil.rmtree(at.system.var / "cache", ignore_errors=True)
        with fault(at.system.wires["bucket"]):
            yield

    return strike


def nowhere(wire: Wire) -> AbstractContextManager[None]:
    return wire.elsewhere(free_port())


def refused(status: int, code: str) -> Callable[[Wire], AbstractContextManager[None]]:
    """Everything is answered with this status and S3's code."""

    @contextmanager
    def fault(wire: Wire) -> Iterator[None]:
        with refusing(status, code) as port, wire.elsewhere(port):
            yield

    return fault


def broken_after(size_bytes: int) -> Callable[[Wire], AbstractContextManager[None]]:
    """Each connection ends in the middle of a transfer."""
    return lambda wire: wire.faulty(Fault(breaks_after_bytes=size_bytes))


def slow(delay_s: float) -> Callable[[Wire], AbstractContextManager[None]]:
    return lambda wire: wire.faulty(Fault(delay_s=delay_s))


@contextmanager
def redis_full(at: Moment) -> Iterator[None]:
    """Its memory is full: it answers, and takes no further message."""
    with at.system.redis() as client:
        client.config_set("maxmemory", 1)
        yield
        client.config_set("maxmemory", 0)


@contextmanager
def scratch_full(at: Moment) -> Iterator[None]:
    with at.system.scratch.full():
        yield


def clock_ahead(seconds: int) -> Strike:
    """The worker's clock is wrong while it works on the session."""

    @contextmanager
    def strike(at: Moment) -> Iterator[None]:
        at.system.stop("worker-cpu")
        at.system.start("worker-cpu", **{AHEAD: str(seconds)})
        yield

    return strike


@contextmanager
def poison(at: Moment) -> Iterator[None]:
    """Messages that nobody can read or carry out, before and among those of the session."""
    for queue in ("default", "cpu"):
        with at.system.redis() as client:
            for data in (b"", b"no message", b"\x80\x04K\x01.", b"[]", json.dumps({"queue_name": queue}).encode()):
                name = str(uuid.uuid4())
                client.hset(f"{NAMESPACE}:{queue}.msgs", name, data)
                client.rpush(f"{NAMESPACE}:{queue}", name)
        for actor, arguments in (
            ("no_such_actor", (1,)),
            ("run_step", (NO_STEP,)),
            ("run_step", ("no number",)),
            ("run_step", ()),
            ("advance", (str(uuid.uuid4()),)),
            ("advance", ("no id",)),
            ("advance", (None, None)),
        ):
            at.system.send(message(queue, actor, *arguments))
    yield


@contextmanager
def duplicates(at: Moment) -> Iterator[None]:
    """Every message that the session has had, several times over."""
    for _ in range(5):
        at.system.send(message("default", "advance", at.session))
        for step in at.system.steps_of(at.session):
            at.system.send(message("cpu", "run_step", step))
    yield


def message(queue: str, actor: str, *arguments: object) -> dramatiq.Message:
    return dramatiq.Message(queue_name=queue, actor_name=actor, args=arguments, kwargs={}, options={})


def ordered(order: str) -> Strike:
    """The child does what `tests.faults.handlers` calls `order`, until the order is taken back."""

    @contextmanager
    def strike(at: Moment) -> Iterator[None]:
        file = at.system.gates / order
        file.touch()
        yield
        file.unlink()

    return strike


def limited(order: str, **limits: int) -> Strike:
    """The same under limits of the operators."""

    @contextmanager
    def strike(at: Moment) -> Iterator[None]:
        at.system.set_limits(**limits)
        with ordered(order)(at):
            yield
        at.system.set_limits(step_memory_limit_bytes=16 * 2**30, step_time_limit_minutes=60)

    return strike
