"""The job of an analyse step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.agents.analysis.agent import AnalysisAgent
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.job import JobResult
from apps.agents.handlers.material import Material

if TYPE_CHECKING:
    from apps.agents.sandbox.child import JobContext


def analyse(context: JobContext) -> JobResult:
    """Analyse the model at hand; the result's body is an `AnalysisReport`.

    Inputs and arguments of `Material`; `criteria` as plain JSON; `sensitivity_budget_s`, a share of the criteria's
    budget unless given.
    """
    job = context.job
    material = Material(job)
    criteria = Criteria.model_validate(job.arguments["criteria"])
    agent = AnalysisAgent(material.scratch, sensitivity_budget_s=job.arguments.get("sensitivity_budget_s"))
    report = agent.analyse(
        material.model,
        material.dataset,
        criteria,
        context,
        format=material.format,
        signature=material.signature,
        original=material.is_original,
    )
    return JobResult(body=report.model_dump(mode="json"))
