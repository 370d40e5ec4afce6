"""The job of a plan step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.job import JobResult
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.planning.agent import PlanningAgent

if TYPE_CHECKING:
    from apps.agents.sandbox.child import JobContext


def run(context: JobContext) -> JobResult:
    """Plan a session; the result's body is a `Plan`.

    Arguments, as plain JSON: `analysis` (an `AnalysisReport`), `exported` (those of what it was exported
    to), `criteria`, `dataset` (a `DatasetSummary`), and the plan request's own parameters `libraries`,
    `disabled_techniques` and `export_failures`. No files are read.
    """
    arguments = context.job.arguments
    plan = PlanningAgent().plan(
        AnalysisReport.model_validate(arguments["analysis"]),
        Criteria.model_validate(arguments["criteria"]),
        DatasetSummary.model_validate(arguments["dataset"]),
        exported=[AnalysisReport.model_validate(one) for one in arguments.get("exported", ())],
        export_failures=arguments.get("export_failures"),
        libraries=arguments.get("libraries", ()),
        disabled=arguments.get("disabled_techniques", ()),
    )
    return JobResult(body=plan.model_dump(mode="json"))
