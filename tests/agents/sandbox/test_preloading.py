"""Children that are forked off a process that has loaded their libraries."""

from __future__ import annotations

import itertools
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agents.contracts.formats import Format, Framework
from apps.agents.contracts.job import Job, LogLine
from apps.agents.contracts.job_arguments import InspectDatasetArguments, InspectModelArguments
from apps.agents.sandbox import preloading
from apps.agents.sandbox.preloading import MOST, Preloader
from apps.agents.sandbox.preloads import modules_for
from apps.agents.sandbox.process import JobCancelled, JobFailed, run_job
from tests.waiting import HANGS_S, wait_until, wait_until_gone

ROOT = Path(__file__).resolve().parents[3]
SLOW = ("tests.agents.sandbox.loads_slowly",)
LIGHT = ("apps.agents.contracts.job",)

pytestmark = pytest.mark.skipif(not preloading.SUPPORTED, reason="children are not forked on this system")


@pytest.fixture
def preloader(monkeypatch: pytest.MonkeyPatch) -> Iterator[Preloader]:
    """One of the test's own, whose processes end with it."""
    preloader = Preloader()
    monkeypatch.setattr(preloading, "_preloader", preloader)
    yield preloader
    for kept in preloader._kept.values():
        kept.process.kill()
        kept.process.wait()


def report(scratch: Path, **named: object) -> dict[str, object]:
    """What a child finds about itself."""
    scratch.mkdir(exist_ok=True)
    job = Job(handler="tests.agents.children:describe_itself", scratch=scratch, **named)  # type: ignore[arg-type]
    return run_job(job, on_event=print, should_stop=never, poll_s=0.05).body


def never() -> bool:
    return False


def test_it_differs_from_a_new_interpreter_only_in_what_is_loaded(
    tmp_path: Path, preloader: Preloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    forked = report(tmp_path / "same", threads=2)
    monkeypatch.setattr(preloading, "SUPPORTED", False)
    spawned = report(tmp_path / "same", threads=2)
    modules, fewer = forked.pop("modules"), spawned.pop("modules")
    assert forked.pop("parent") == next(iter(preloader._kept.values())).process.pid
    assert spawned.pop("parent") == os.getpid()
    assert forked == spawned
    assert "onnx" in modules
    assert "onnx" not in fewer


def test_children_of_one_environment_share_a_process_and_nothing_else(tmp_path: Path, preloader: Preloader) -> None:
    first, second = report(tmp_path / "a"), report(tmp_path / "b")
    assert first["parent"] == second["parent"]
    assert first["folder"] != second["folder"]
    assert first["temporary"] == str(tmp_path / "a" / "tmp")
    assert first["descriptors"] == second["descriptors"], "nothing of the first child is open in the second"
    assert report(tmp_path / "c", threads=3)["parent"] != first["parent"]


def test_pytorch_is_there_for_a_model_of_it(tmp_path: Path, preloader: Preloader) -> None:
    assert "torch" in report(tmp_path, frameworks=(Framework.ONNX, Framework.TORCH))["modules"]  # type: ignore[operator]


def test_a_job_says_which_frameworks_it_opens() -> None:
    assert InspectModelArguments(format=Format.KERAS).frameworks == (Framework.TENSORFLOW,)
    assert InspectDatasetArguments.model_fields.keys() == {"spec", "model"}
    assert "torch" not in " ".join(modules_for((Framework.LITERT, Framework.ONNX)))


def test_after_it_was_killed_the_next_job_starts_another(tmp_path: Path, preloader: Preloader) -> None:
    first = report(tmp_path / "a")["parent"]
    os.kill(int(str(first)), 9)
    wait_until(lambda: preloader._kept[next(iter(preloader._kept))].process.poll() is not None)
    assert report(tmp_path / "b")["parent"] != first
    assert len(preloader._kept) == 1


def test_a_child_ends_with_it_and_the_step_can_be_tried_again(tmp_path: Path, preloader: Preloader) -> None:
    def kill(event: object) -> None:
        assert isinstance(event, LogLine)
        next(iter(preloader._kept.values())).process.kill()
        for pid in map(int, event.message.split()[1:]):  # What the child has started itself.
            os.kill(pid, 9)

    job = Job(handler="tests.agents.children:linger", scratch=tmp_path)
    with pytest.raises(JobFailed) as failed:
        run_job(job, on_event=kill, should_stop=never, poll_s=0.05)
    assert (failed.value.code, failed.value.transient) == ("step.killed", True)


def test_a_job_can_be_stopped_while_libraries_are_loaded(
    tmp_path: Path, preloader: Preloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker renews its lease whenever it is asked whether to stop."""
    monkeypatch.setattr("apps.agents.sandbox.process.modules_for", lambda frameworks: SLOW)
    asked: list[float] = []

    def stop() -> bool:
        asked.append(time.monotonic())
        return len(asked) >= 4

    job = Job(handler="tests.agents.children:describe_itself", scratch=tmp_path)
    other = threading.Thread(target=lambda: run_job(job, on_event=print, should_stop=never))
    with pytest.raises(JobCancelled):
        run_job(job, on_event=print, should_stop=stop)
    assert max(after - before for before, after in itertools.pairwise(asked)) < 2
    assert not preloader._kept
    asked.clear()
    other.start()
    wait_until(preloader._lock.locked)
    with pytest.raises(JobCancelled):
        run_job(job, on_event=print, should_stop=stop)
    other.join()


@pytest.mark.parametrize(
    ("modules", "why"),
    [
        (("no_such_library",), "ModuleNotFoundError: No module named 'no_such_library'"),
        (("tests.agents.sandbox.starts_a_thread",), "2 threads run in it"),
        (("tests.agents.sandbox.ends_at_once",), "it ended while it was loading"),
    ],
)
def test_what_cannot_be_forked_is_a_new_interpreter(
    tmp_path: Path,
    preloader: Preloader,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    modules: tuple[str, ...],
    why: str,
) -> None:
    monkeypatch.setattr("apps.agents.sandbox.process.modules_for", lambda frameworks: modules)
    with caplog.at_level(logging.WARNING):
        assert [report(tmp_path / name)["parent"] for name in "ab"] == [os.getpid()] * 2
    assert [record.getMessage() for record in caplog.records] == [
        f"Children start without preloaded libraries, which takes longer: {why}"
    ]


def test_the_one_used_longest_ago_leaves_when_its_children_have_ended(tmp_path: Path, preloader: Preloader) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    reading, writing = os.pipe()
    kinds = [(*LIGHT, name) for name in ("json", "csv", "ast", "cgi")[: MOST + 1]]
    first = preloader.start(kinds[0], environment, tmp_path, writing, never)
    assert first is not None
    oldest = next(iter(preloader._kept.values()))
    for kind in kinds[1:]:
        child = preloader.start(kind, environment, tmp_path, writing, never)
        assert child is not None
        os.killpg(child.pid, 9)
        assert child.wait() == -9
    assert [key[0] for key in preloader._kept] == kinds[1:]
    assert oldest.process.poll() is None
    assert not first.exited(), "it waits for its job"
    os.killpg(first.pid, 9)
    assert first.wait() == -9
    wait_until(lambda: oldest.process.poll() is not None)
    os.close(reading)
    os.close(writing)


def test_two_threads_fork_at_the_same_time(tmp_path: Path, preloader: Preloader) -> None:
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda name=name: found.append(report(tmp_path / name)["parent"])) for name in "abcd"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


IDLE = """
import socket, sys
from apps.agents.sandbox import preloaded
preloaded.IDLE_S = 0.2
preloaded.main(socket.socket(fileno=int(sys.argv[1])), ["json"])
"""


def test_it_ends_when_nothing_is_asked_of_it() -> None:
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with mine, its:
        command = [sys.executable, "-c", IDLE, str(its.fileno())]
        process = subprocess.Popen(command, pass_fds=[its.fileno()], cwd=ROOT)
        assert process.wait(timeout=HANGS_S) == 0


def test_a_worker_that_ends_leaves_nothing_behind(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from apps.agents.contracts.job import Job; "
        "from apps.agents.sandbox.process import run_job; "
        "job = Job(handler='tests.agents.children:describe_itself', scratch=Path(sys.argv[1])); "
        "print(run_job(job, on_event=print, should_stop=lambda: False).body['parent'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    wait_until_gone(int(done.stdout))
