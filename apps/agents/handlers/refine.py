"""The job of a refine step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.agents.contracts.job import JobResult
from apps.agents.contracts.job_arguments import RefineArguments
from apps.agents.planning.sampling import propose

if TYPE_CHECKING:
    from apps.agents.sandbox.child import JobContext


def run(context: JobContext) -> JobResult:
    """Propose the next settings of a chain. The result's body is a `Refinement`.

    The arguments are `RefineArguments`. No files are read.
    """
    arguments = RefineArguments.of(context.job)
    return JobResult(body=propose(arguments.refine, context.job.seed).model_dump(mode="json"))
