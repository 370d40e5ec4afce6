"""One piece of work for a child process, and what comes back: the protocol over the pipe.

The parent (`sandbox.process`) writes a `Job` as one line of JSON to the child's standard input and keeps it open
as a lifeline. The child (`python -m apps.agents.sandbox.child`) writes one JSON object per line to the event pipe:
any number of `Progress`, `LogLine` and `MetricValue`, then one `JobResult` or one `JobFailure`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from apps.agents.contracts.faults import Fault
from apps.agents.contracts.values import Value


class Job(Value):
    """`handler` is the dotted path `module:function` of a callable `(JobContext) -> JobResult`."""

    handler: str
    scratch: Path
    """An empty folder of the job's own; files to keep go to `scratch / "out"`."""
    inputs: dict[str, Path] = {}
    """Read-only files by role: `model`, `original`, `dataset`, and what else a step starts from, such as `teacher`."""
    arguments: dict[str, Any] = {}
    seed: int = 0
    threads: int = 1
    cores: tuple[int, ...] = ()
    """The only cores that the job may use; empty is all."""


class OutputFile(Value):
    """A file that the job leaves behind, relative to `scratch`."""

    role: str
    path: str
    filename: str


class Progress(Value):
    type: Literal["progress"] = "progress"
    fraction: float
    message: str
    eta_s: float | None = None


class LogLine(Value):
    type: Literal["log"] = "log"
    level: Literal["info", "warning", "error"] = "info"
    message: str


class MetricValue(Value):
    type: Literal["metric"] = "metric"
    name: str
    value: float


class JobResult(Value):
    type: Literal["result"] = "result"
    body: dict[str, Any]
    files: tuple[OutputFile, ...] = ()


class JobFailure(Value):
    """`expected` failures carry a code a user can act on; others are bugs and carry a traceback."""

    type: Literal["failure"] = "failure"
    code: str
    message: str
    expected: bool
    transient: bool = False
    """Whether trying again may help: out of memory, a lost connection."""
    fault: Fault | None = None
    """What failed, where it was not the work itself."""
    field: str | None = None
    traceback: str = ""


Event = Annotated[Progress | LogLine | MetricValue | JobResult | JobFailure, Field(discriminator="type")]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)
