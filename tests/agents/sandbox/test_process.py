"""Real child processes: what comes back, and that nothing of them stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agents.contracts.errors.running import ModelRunFailed
from apps.agents.contracts.job import Event, Job, JobResult, LogLine, MetricValue, Progress
from apps.agents.sandbox import preloading, supervision
from apps.agents.sandbox.child import ran_out_of_memory
from apps.agents.sandbox.process import JobCancelled, JobFailed, Limits, environment, run_job
from apps.agents.sandbox.supervision import Tree
from tests.processes import gone
from tests.waiting import wait_until_gone

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True, params=["forked", "spawned"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the child is started. It behaves the same."""
    if request.param == "spawned":
        monkeypatch.setattr(preloading, "SUPPORTED", False)
    elif not preloading.SUPPORTED:
        pytest.skip("children are not forked on this system")
    return str(request.param)


@pytest.fixture
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def job(name: str, scratch: Path, **arguments: object) -> Job:
    return Job(handler=f"tests.agents.children:{name}", scratch=scratch, arguments=arguments, threads=3)


def never() -> bool:
    return False


def run(job: Job, limits: Limits | None = None) -> tuple[JobResult, list[Event]]:
    events: list[Event] = []
    result = run_job(job, on_event=events.append, should_stop=never, limits=limits or Limits(), poll_s=0.05)
    return result, events


def failure(name: str, scratch: Path, limits: Limits | None = None) -> JobFailed:
    with pytest.raises(JobFailed) as caught:
        run(job(name, scratch), limits)
    return caught.value


# --- results and events -----------------------------------------------------------------------------------------------


def test_the_result_and_every_event_come_back_in_order(scratch: Path):
    result, events = run(job("work", scratch, depth=2))
    assert result.body["arguments"] == {"depth": 2}
    assert (scratch / "out" / "file.txt").read_text() == "kept"
    assert events == [
        Progress(fraction=0.5, message="Half", eta_s=1.0),
        LogLine(level="warning", message="Careful"),
        MetricValue(name="accuracy", value=0.75),
        LogLine(level="warning", message="loss is nan"),
    ]


def test_a_child_works_in_its_scratch_folder_with_the_threads_of_the_job(scratch: Path):
    result, _ = run(job("work", scratch))
    assert result.body["threads"] == "3"
    assert Path(result.body["folder"]).is_relative_to(scratch.resolve())


def test_a_child_is_told_none_of_the_workers_secrets(scratch: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABASE_URL", "postgres://user:secret@host/db")
    monkeypatch.setenv("LATHE_SECRET_KEY", "secret")
    result, _ = run(job("work", scratch))
    assert {"DATABASE_URL", "LATHE_SECRET_KEY"}.isdisjoint(result.body["variables"])
    assert "secret" not in str(environment(job("work", scratch), scratch))


def test_relative_folders_of_pythons_path_are_the_workers_and_not_the_childs(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
):
    """In the child's folder a stranger's files are, and nothing may be imported from there."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(("platform", "", ".")))
    monkeypatch.chdir(ROOT)
    assert environment(job("work", scratch), scratch)["PYTHONPATH"].split(os.pathsep) == [
        str(ROOT),
        str(ROOT / "platform"),
    ]


def test_a_child_writes_no_bytecode_beside_what_a_stranger_has_uploaded(scratch: Path) -> None:
    assert environment(job("work", scratch), scratch)["PYTHONDONTWRITEBYTECODE"] == "1"


def test_garbage_on_the_pipe_becomes_warnings(scratch: Path):
    result, events = run(job("babble", scratch))
    assert len(result.body["long"]) == 1_000_000
    assert [event.level for event in events if isinstance(event, LogLine)] == ["warning"] * 4 + ["info"]
    assert all(len(event.message) < 500 for event in events if isinstance(event, LogLine))


def test_a_job_larger_than_a_pipe_arrives_whole(scratch: Path):
    result, _ = run(job("work", scratch, text="x" * 3_000_000))
    assert len(result.body["arguments"]["text"]) == 3_000_000


def test_a_library_that_reads_standard_input_finds_nothing(scratch: Path):
    assert run(job("read_input", scratch))[0].body == {"read": ""}


def test_what_a_finished_child_leaves_running_is_ended(scratch: Path):
    result, _ = run(job("abandon", scratch))
    wait_until_gone(result.body["left"])


# --- failures ---------------------------------------------------------------------------------------------------------


def test_an_error_of_the_user_comes_back_with_its_code_and_field(scratch: Path):
    error = failure("refuse", scratch)
    assert (error.code, error.expected, error.transient) == ("model.truncated", True, False)
    assert error.failure.field == "model"
    assert "byte 7 is missing" in error.message


def test_a_bug_comes_back_with_its_traceback(scratch: Path):
    error = failure("break_down", scratch)
    assert (error.code, error.expected, error.transient) == ("step.error", False, False)
    assert "break_down" in error.traceback
    assert error.message == "KeyError: 'no such thing'"


def test_a_handler_that_returns_no_result_is_a_bug(scratch: Path):
    assert "returned NoneType" in failure("forget", scratch).message


def test_an_unknown_handler_is_a_bug(scratch: Path):
    assert failure("nothing_of_this_name", scratch).code == "step.error"


def test_a_crash_names_the_signal_and_may_be_tried_again(scratch: Path):
    error = failure("crash", scratch)
    assert (error.code, error.expected, error.transient) == ("step.killed", True, True)
    assert "SIGSEGV" in error.message
    assert "children.py" in error.traceback


def test_an_exit_without_a_word_is_a_bug_with_the_last_words(scratch: Path):
    error = failure("leave", scratch)
    assert (error.code, error.expected) == ("step.error", False)
    assert "exit code 3" in error.message
    assert error.traceback == "so long"


@pytest.mark.parametrize("name", ["run_out_of_memory", "run_out_of_memory_in_a_library"])
def test_a_failed_allocation_may_be_tried_again(scratch: Path, name: str):
    error = failure(name, scratch)
    assert (error.code, error.expected, error.transient) == ("step.out_of_memory", True, True)


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 268435456",
    ],
)
def test_devices_libraries_say_in_their_own_words_that_memory_ran_out(words: str):
    error = ModelRunFailed(reason="it failed")
    error.__cause__ = RuntimeError(words)
    assert ran_out_of_memory(error)
    assert not ran_out_of_memory(RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED"))


# --- limits and cancelling --------------------------------------------------------------------------------------------


GROWING = ["grow", "let_a_process_grow", "grow_in_shared_memory"]
GROWING += ["grow_in_a_file_in_memory"] if sys.platform.startswith("linux") else []


@pytest.mark.parametrize("name", GROWING)
def test_memory_over_the_limit_ends_the_child_and_may_be_tried_again(scratch: Path, name: str):
    error = failure(name, scratch, Limits(memory_bytes=200 * 2**20))
    assert (error.code, error.expected, error.transient) == ("step.out_of_memory", True, True)
    assert "200 MiB" in error.message


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells them apart")
def test_shared_memory_counts_where_the_kernel_does_not_tell_it_from_files(monkeypatch: pytest.MonkeyPatch):
    usual = Tree(os.getpid()).bytes()
    monkeypatch.setattr(supervision, "_NOT_OF_FILES", (b"RssUnheardOf",))
    assert Tree(os.getpid()).bytes() > usual


def test_time_over_the_limit_ends_the_child(scratch: Path):
    error = failure("linger", scratch, Limits(time_s=0.5))
    assert (error.code, error.expected, error.transient) == ("step.timed_out", True, False)


def test_cancelling_leaves_no_process_and_no_file():
    pids: list[int] = []
    asked_at: list[float] = []

    def on_event(event: Event) -> None:
        assert isinstance(event, LogLine)
        pids.extend(int(part) for part in event.message.split())
        asked_at.append(time.monotonic())

    with tempfile.TemporaryDirectory() as folder:
        with pytest.raises(JobCancelled):
            run_job(job("linger", Path(folder)), on_event=on_event, should_stop=lambda: bool(pids))
        assert time.monotonic() - asked_at[0] < 2.0
        assert all(gone(pid) for pid in pids)
    assert len(pids) == 3
    assert not Path(folder).exists()


def test_an_error_in_the_caller_ends_the_child_too(scratch: Path):
    pids: list[int] = []

    def on_event(event: Event) -> None:
        assert isinstance(event, LogLine)
        pids.extend(int(part) for part in event.message.split())
        raise ConnectionError("the database is away")

    with pytest.raises(ConnectionError):
        run_job(job("linger", scratch), on_event=on_event, should_stop=never)
    assert pids
    assert all(gone(pid) for pid in pids)


WORKER = """
import sys
from pathlib import Path
from apps.agents.contracts.job import Job
from apps.agents.sandbox import preloading
from apps.agents.sandbox.process import run_job
preloading.SUPPORTED = sys.argv[2] == "forked"
job = Job(handler="tests.agents.children:linger", scratch=Path(sys.argv[1]))
run_job(job, on_event=lambda event: print(event.message, flush=True), should_stop=lambda: False)
"""


def test_a_child_ends_when_its_worker_is_killed(scratch: Path, way: str):
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(scratch), way],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert worker.stdout is not None
    child, inside, outside = (int(part) for part in worker.stdout.readline().split())
    try:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        wait_until_gone(child)
    finally:
        for pid in (inside, outside):  # Not the child's own work: `die_with_parent` is theirs to call.
            if not gone(pid):
                os.kill(pid, signal.SIGKILL)
        worker.stdout.close()
