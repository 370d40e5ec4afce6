"""The job of a plan step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.agents.contracts.job import JobResult
from apps.agents.contracts.job_arguments import PlanArguments
from apps.agents.planning.agent import PlanningAgent
from apps.agents.planning.availability import with_pauses
from apps.agents.techniques.knowledge.tables import Knowledge

if TYPE_CHECKING:
    from apps.agents.sandbox.child import JobContext


def run(context: JobContext) -> JobResult:
    """Plan a session. The result's body is a `Plan`.

    The arguments are `PlanArguments`. No files are read.
    """
    arguments = PlanArguments.of(context.job)
    knowledge = Knowledge(learned=arguments.learned, usual_s=arguments.usual_s)
    plan = PlanningAgent(knowledge=knowledge).plan(
        arguments.analysis,
        arguments.criteria,
        arguments.dataset,
        exported=arguments.exported,
        export_failures=arguments.export_failures,
        libraries=arguments.libraries,
        disabled=arguments.disabled_techniques,
        training_share=arguments.training_share,
        student=arguments.student,
        edits=arguments.edits,
        workers=arguments.workers,
    )
    return JobResult(body=with_pauses(plan, arguments.paused_techniques).model_dump(mode="json"))
