"""The job that inspects an uploaded model before anything else uses it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, cast

from apps.agents.contracts.formats import format_spec
from apps.agents.contracts.job import JobResult
from apps.agents.contracts.job_arguments import InspectModelArguments
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.measuring.engine import signed

if TYPE_CHECKING:
    from apps.agents.sandbox.child import JobContext


def inspect_model(context: JobContext) -> JobResult:
    """Inspect `inputs["model"]`. The result's body is a `ModelSummary`.

    The arguments are `InspectModelArguments`. Without a limit in them, the model may take 8 GiB, packed or unpacked. It
    is run only if its file alone does not show its inputs and outputs. Raises an error with its own code for each
    reason to refuse it.
    """
    job, arguments = context.job, InspectModelArguments.of(context.job)
    module, _, name = format_spec(arguments.format).inspector.partition(":")
    inspect = cast("Callable[..., ModelSummary]", getattr(import_module(module), name))
    limits = {"limit_bytes": arguments.limit_bytes} if arguments.limit_bytes is not None else {}
    context.progress(0.1, "Checking the model")
    summary = inspect(job.inputs["model"], job.scratch, **limits, **signed(arguments.signature))
    context.progress(1.0, f"{summary.parameters:,} parameters, {sum(summary.operators.values()):,} operators")
    return JobResult(body=summary.model_dump(mode="json"))
