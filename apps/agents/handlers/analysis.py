"""The job of an analyse step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.agents.analysis.agent import AnalysisAgent
from apps.agents.contracts.job import JobResult
from apps.agents.contracts.job_arguments import AnalyseArguments
from apps.agents.handlers.material import Material

if TYPE_CHECKING:
    from apps.agents.sandbox.child import JobContext


def analyse(context: JobContext) -> JobResult:
    """Analyse the job's model. The result's body is an `AnalysisReport`.

    The inputs are those of `Material`, the arguments `AnalyseArguments`.
    """
    arguments = AnalyseArguments.of(context.job)
    material = Material(context.job, arguments)
    agent = AnalysisAgent(material.scratch, sensitivity_budget_s=arguments.sensitivity_budget_s)
    report = agent.analyse(
        material.model,
        material.dataset,
        arguments.criteria,
        context,
        format=material.format,
        signature=material.signature,
        original=material.is_original,
    )
    return JobResult(body=report.model_dump(mode="json"))
