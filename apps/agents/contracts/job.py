"""A job for a child process and its result: the protocol over the pipe.

The parent (`sandbox.process`) writes a `Job` as one line of JSON to the child's standard input and keeps it open
as a lifeline. The child (`python -m apps.agents.sandbox.child`) writes one JSON object per line to the event pipe:
any number of `Progress`, `LogLine`, `MetricValue`, `CheckpointKept` and `TrialMade`, then one `JobResult` or one
`JobFailure`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from apps.agents.contracts.faults import Fault
from apps.agents.contracts.formats import Framework
from apps.agents.contracts.sandbox import Sandbox
from apps.agents.contracts.searching import TrialCard
from apps.agents.contracts.values import Value


class Job(Value):
    """`handler` is the dotted path `module:function` of a callable `(JobContext) -> JobResult`."""

    handler: str
    scratch: Path
    """An empty folder for this job only. Files to keep go to `scratch / "out"`."""
    inputs: dict[str, Path] = {}
    """Read-only files by role: `model`, `original`, `dataset`, and other models that a step reads, such as `teacher`.

    `checkpoint` is a file that an earlier attempt of the step kept.
    """
    arguments: dict[str, Any] = {}
    seed: int = 0
    threads: int = 1
    cores: tuple[int, ...] = ()
    """The only cores that the job may use; empty means all."""
    frameworks: tuple[Framework, ...] = ()
    """The frameworks of the models that the handler opens: their libraries are loaded already when the child starts."""
    identity: str = ""
    """A digest of the request, to which checkpoints belong; empty if checkpoints are not kept."""
    sandbox: Sandbox = Sandbox()
    """What the child closes itself in with, before it opens an input."""
    largest_file_bytes: int | None = None
    """The most bytes that one file of the job may have; `None` means unlimited."""

    def file(self, path: str) -> Path:
        """The file that the child names by `path`, relative to `scratch`. Raises `ValueError` if it is outside."""
        found = (self.scratch / path).resolve()
        if not found.is_relative_to(self.scratch.resolve()):
            raise ValueError(f"the handler {self.handler} names a file outside its scratch folder: {path!r}")
        return found


class OutputFile(Value):
    """A file that the job made. `path` is relative to `scratch`."""

    role: str
    path: str
    filename: str


class QuietWait(Value):
    """How long a job waits for a quiet machine before it times."""

    so_far_s: float
    left_s: float
    """At most; 0 once it times."""


class Progress(Value):
    type: Literal["progress"] = "progress"
    fraction: float
    message: str
    eta_s: float | None = None
    quiet_wait: QuietWait | None = None
    """`None` as long as the job has nothing new to say about it."""


class LogLine(Value):
    type: Literal["log"] = "log"
    level: Literal["info", "warning", "error"] = "info"
    message: str


class MetricValue(Value):
    type: Literal["metric"] = "metric"
    name: str
    value: float
    step: int | None = None
    """Of a training: the value is a point of the curve called `name`."""


class CheckpointKept(Value):
    """The next attempt can continue from the file at `path`, relative to `scratch`. The reader removes the file."""

    type: Literal["checkpoint"] = "checkpoint"
    path: str


class TrialMade(Value):
    """A search has scored a sub-network."""

    type: Literal["trial"] = "trial"
    card: TrialCard


class JobResult(Value):
    type: Literal["result"] = "result"
    body: dict[str, Any]
    files: tuple[OutputFile, ...] = ()


class JobFailure(Value):
    """An `expected` failure has a code that a user can act on. Any other is a bug and has a traceback."""

    type: Literal["failure"] = "failure"
    code: str
    message: str
    expected: bool
    transient: bool = False
    """Whether another try may succeed: out of memory, a lost connection."""
    fault: Fault | None = None
    """What failed, if it was not the work itself."""
    field: str | None = None
    traceback: str = ""


Event = Annotated[
    Progress | LogLine | MetricValue | CheckpointKept | TrialMade | JobResult | JobFailure,
    Field(discriminator="type"),
]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)
