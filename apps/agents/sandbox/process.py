"""Runs a job in a child process that cannot harm the caller.

The child has its own process group, working folder, environment, memory limit and time limit, and is closed in as far
as the system allows (`walls`): it reaches no network and no file but those of its job and of the libraries. Whatever it
does (crash, leak, hang, print, be killed), `run_job` returns its result or raises one of two errors, and no process of
the job is alive afterwards. The scratch folder belongs to the caller, who removes it afterwards:

    with tempfile.TemporaryDirectory() as folder:
        result = run_job(Job(handler="…", scratch=Path(folder)), on_event=print, should_stop=lambda: False)

All temporary files of the child and of its libraries go there, so nothing is left elsewhere.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from apps.agents.contracts.errors.steps import (
    StepDiskFailed,
    StepKilled,
    StepOutOfMemory,
    StepSandboxUnavailable,
    StepTimedOut,
    StepTooManyProcesses,
)
from apps.agents.contracts.faults import Fault, is_full
from apps.agents.contracts.job import Event, Job, JobFailure, JobResult
from apps.agents.contracts.phrasing import listed
from apps.agents.contracts.sandbox import SandboxRule
from apps.agents.sandbox.child import INTERNAL_ERROR
from apps.agents.sandbox.preloading import Stopped
from apps.agents.sandbox.preloads import modules_for
from apps.agents.sandbox.programs import SOURCE_ROOT
from apps.agents.sandbox.supervision import MOST_PROCESSES, Child, Ending, signal_name
from apps.agents.sandbox.walls import closing
from apps.errors import UserError

POLL_S = 0.25
_INHERITED = frozenset(("PATH", "USER", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "SYSTEMROOT"))
_INHERITED_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_")
_THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "TF_NUM_INTRAOP_THREADS"),
)
_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""Signals that the kernel or a person sends. Any other signal is a crash in the process."""


@dataclass(frozen=True)
class Limits:
    """The resources that a child may use; `None` means unlimited.

    Memory is that of the child and everything it starts, without file pages that the kernel can drop at any time, such
    as a mapped data set.
    """

    memory_bytes: int | None = None
    time_s: float | None = None
    file_bytes: int | None = None
    """Of one file that the child writes."""
    sandbox: SandboxRule = SandboxRule.BEST


class JobCancelled(Exception):
    """`should_stop` returned true, and the child has ended."""


class JobFailed(Exception):
    """The job ended without a result. `failure` has the reason and a stable code."""

    def __init__(self, failure: JobFailure) -> None:
        self.failure = failure
        super().__init__(f"{failure.code}: {failure.message}")

    @property
    def code(self) -> str:
        return self.failure.code

    @property
    def message(self) -> str:
        return self.failure.message

    @property
    def expected(self) -> bool:
        return self.failure.expected

    @property
    def transient(self) -> bool:
        return self.failure.transient

    @property
    def traceback(self) -> str:
        return self.failure.traceback


def run_job(
    job: Job,
    *,
    on_event: Callable[[Event], None],
    should_stop: Callable[[], bool],
    limits: Limits = Limits(),
    poll_s: float = POLL_S,
) -> JobResult:
    """Run `job` in a child process and wait for it.

    `on_event` is called in this thread with each progress, log line and metric, but not with the result. `should_stop`
    is called every `poll_s` seconds. If it returns true, or either of them raises, the child is killed at once.

    Raises `JobFailed` with the child's own failure, or with `step.out_of_memory` (transient) and `step.timed_out` over
    a limit, `step.killed` (transient) if a signal ended it, `step.error` if it ended without a result, and
    `step.disk_failed` if it did either on a full disk; `step.sandbox_unavailable` (transient) if nothing was opened
    because the child could not be closed in; and `JobCancelled`.
    """
    job = _closed_in(_with_absolute_paths(job), limits)
    temporary = job.scratch / "tmp"
    temporary.mkdir(exist_ok=True)
    try:
        started = Child(
            modules_for(job.frameworks), job.model_dump_json(), environment(job, temporary), temporary, should_stop
        )
    except Stopped:
        raise JobCancelled(job.handler) from None
    with started as child:
        ending = child.watch(on_event, should_stop, limits.memory_bytes, limits.time_s, poll_s)
        last_words = child.last_words
    if isinstance(child.outcome, JobResult):
        return child.outcome
    if ending is Ending.STOPPED:
        raise JobCancelled(job.handler)
    raise JobFailed(child.outcome or _failure(job, ending, child.exit_code, last_words, limits))


def environment(job: Job, temporary: Path) -> dict[str, str]:
    """The child's environment: without the worker's secrets, without network access to hubs, with the job's threads.

    A model is an untrusted program, so only the variables named here are passed on: no database, key or token.
    """
    passed = {
        name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }
    # Absolute: the folder that the child works in would take the place of a relative one.
    given = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {
        **passed,
        **dict.fromkeys(_THREAD_VARIABLES, str(job.threads)),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys((str(SOURCE_ROOT), *given))),
        "PYTHONSAFEPATH": "1",  # The working folder contains untrusted uploads; nothing is imported from it.
        "PYTHONDONTWRITEBYTECODE": "1",  # Nothing is written to it either.
        "PYTHONFAULTHANDLER": "1",
        "PYTHONHASHSEED": "0",
        "HOME": str(temporary),
        "TMPDIR": str(temporary),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


def _with_absolute_paths(job: Job) -> Job:
    """The job with absolute paths, because the child works in another folder."""
    inputs = {role: path.absolute() for role, path in job.inputs.items()}
    return job.model_copy(update={"scratch": job.scratch.absolute(), "inputs": inputs})


def _closed_in(job: Job, limits: Limits) -> Job:
    """The job with this machine's sandbox. Raises `JobFailed` where there is not enough of one for `limits`."""
    found = closing.means(limits.sandbox)
    if limits.sandbox is SandboxRule.REQUIRED and not found.enough:
        ours = StepSandboxUnavailable(reason=f"uploaded code could {listed(found.gaps)}")
        raise JobFailed(_expected(ours, "", Fault.INFRASTRUCTURE))
    return job.model_copy(update={"sandbox": found, "largest_file_bytes": limits.file_bytes})


def _failure(job: Job, ending: Ending, exit_code: int, last_words: str, limits: Limits) -> JobFailure:
    """Why a child ended without a result."""
    if ending is Ending.TOO_LARGE:
        reason = f"it took more than the {(limits.memory_bytes or 0) / 2**20:,.0f} MiB that a step may take here"
        return _expected(StepOutOfMemory(reason=reason), last_words, Fault.MEMORY)
    if ending is Ending.TOO_MANY:
        return _expected(StepTooManyProcesses(limit=MOST_PROCESSES), last_words, None)
    if ending is Ending.TOO_LONG:
        return _expected(StepTimedOut(limit_s=limits.time_s or 0.0), last_words, None)
    if is_full(job.scratch):  # A signal then kills a library that maps the file it writes.
        return _expected(StepDiskFailed(reason="the disk is full"), last_words, Fault.INFRASTRUCTURE)
    if exit_code < 0:
        fault = Fault.MEMORY if -exit_code in _FROM_OUTSIDE else Fault.CRASH
        return _expected(StepKilled(signal=signal_name(-exit_code)), last_words, fault)
    message = f"The child process ended with exit code {exit_code} without a result"
    return JobFailure(code=INTERNAL_ERROR, message=message, expected=False, traceback=last_words)


def _expected(error: UserError, last_words: str, fault: Fault | None) -> JobFailure:
    """Failures caused by `fault` may be retried."""
    return JobFailure(
        code=error.code,
        message=error.message,
        expected=True,
        transient=fault is not None,
        fault=fault,
        traceback=last_words,
    )
