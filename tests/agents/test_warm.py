"""Children forked from a process with the libraries loaded: the same as fresh ones, and apart from each other."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from apps.agents import warm
from apps.agents.formats import Format
from apps.agents.job import Event, Job, JobResult
from apps.agents.process import JobCancelled, JobFailed, run_job
from apps.agents.warm import Warm

MODULE = "tests.agents.forked_children"
DEAR = {
    Warm.LIGHT: ["scipy.stats"],
    Warm.TORCH: ["scipy.stats", "torch"],
    Warm.TENSORFLOW: ["scipy.stats", "tensorflow"],
}


@pytest.fixture(autouse=True)
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[object, warm.ForkServer | None]]:
    """Servers of the test's own."""
    own: dict[object, warm.ForkServer | None] = {}
    monkeypatch.setattr(warm, "_servers", own)
    yield own
    for server in filter(None, own.values()):
        server.process.kill()
        server.process.wait()


def run(name: str, scratch: Path, kind: Warm | None = Warm.LIGHT, on_event: object = None) -> JobResult:
    folder = scratch / f"job-{len(list(scratch.iterdir()))}"
    folder.mkdir()
    job = Job(handler=f"{MODULE}:{name}", scratch=folder)
    events: list[Event] = []
    return run_job(job, on_event=on_event or events.append, should_stop=lambda: False, warm=kind, poll_s=0.05)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", Warm)
def test_every_kind_has_its_libraries_and_no_others_and_can_be_forked(tmp_path: Path, kind: Warm) -> None:
    body = run("tell", tmp_path, kind).body
    assert body["parent"] != os.getpid(), "it was not forked: a library may start a thread when it is imported"
    assert body["loaded"] == DEAR[kind]


def test_a_forked_child_has_what_a_fresh_one_has(tmp_path: Path) -> None:
    """Environment, open files, signals, session: nothing of the server's own comes with it."""
    fresh, forked = (run("tell", tmp_path, kind).body for kind in (None, Warm.LIGHT))
    for name in ("environment", "files", "signals", "leads", "nice", "limits", "seed"):
        assert forked[name] == fresh[name], name


def test_one_job_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    assert [run("leave_a_trace", tmp_path).body["found"] for _ in range(2)] == [False, False]


def test_a_job_of_a_server_that_is_killed_may_be_tried_again(tmp_path: Path) -> None:
    first = run("tell", tmp_path).body["parent"]

    def kill_the_server(event: Event) -> None:
        os.kill(first, signal.SIGKILL)

    with pytest.raises(JobFailed) as caught:
        run("linger", tmp_path, on_event=kill_the_server)
    assert (caught.value.code, caught.value.transient) == ("step.killed", True)
    assert run("tell", tmp_path).body["parent"] not in (first, os.getpid())


def test_a_server_ends_when_it_has_long_had_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: dict[object, warm.ForkServer | None]
) -> None:
    monkeypatch.setitem(warm.MODULES, Warm.LIGHT, ("tests.agents.impatient_server",))  # type: ignore[arg-type]
    first = run("wait", tmp_path).body["parent"]
    deadline = time.monotonic() + 20
    while psutil.pid_exists(first) and psutil.Process(first).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert run("tell", tmp_path).body["parent"] not in (first, os.getpid())


def test_a_job_can_be_stopped_and_keeps_its_lease_while_its_server_still_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for the job renews its claim whenever he is asked."""
    monkeypatch.setitem(warm.MODULES, Warm.LIGHT, ("tests.agents.slow_import",))  # type: ignore[arg-type]
    asked_at: list[float] = []

    def should_stop() -> bool:
        asked_at.append(time.monotonic())
        return len(asked_at) == 3

    with pytest.raises(JobCancelled):
        run_job(
            Job(handler=f"{MODULE}:tell", scratch=tmp_path), on_event=print, should_stop=should_stop, warm=Warm.LIGHT
        )
    assert max(later - sooner for sooner, later in itertools.pairwise(asked_at)) < 5.0


def test_what_cannot_be_forked_safely_starts_afresh_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(warm.MODULES, Warm.LIGHT, ("tests.agents.thread_at_import",))  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        assert [run("tell", tmp_path).body["parent"] for _ in range(2)] == [os.getpid()] * 2
    assert len(caplog.records) == 1
    assert "each child starts afresh" in caplog.text


def test_every_format_has_its_kind() -> None:
    assert {format: warm.warm_for(format) for format in Format} == {  # noqa: A001
        Format.ONNX: Warm.LIGHT,
        Format.TFLITE: Warm.LIGHT,
        Format.TORCH_EXPORT: Warm.TORCH,
        Format.TORCHSCRIPT: Warm.TORCH,
        Format.STATE_DICT: Warm.TORCH,
        Format.TRANSFORMERS: Warm.TORCH,
        Format.KERAS: Warm.TENSORFLOW,
        Format.KERAS_H5: Warm.TENSORFLOW,
        Format.SAVED_MODEL: Warm.TENSORFLOW,
    }
