"""The job of an analyse step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.agents.analysis import AnalysisAgent
from apps.agents.criteria import Criteria
from apps.agents.dataset_spec import DatasetSpec
from apps.agents.datasets import load_dataset
from apps.agents.job import JobResult
from apps.agents.runners import open_engine

if TYPE_CHECKING:
    from apps.agents.child import JobContext


def analyse(context: JobContext) -> JobResult:
    """Analyse the original; the result's body is an `AnalysisReport`.

    Inputs: `model` (or `original`), `dataset`. Arguments: `criteria` and `dataset` (a `DatasetSpec`) as plain JSON;
    `format`, `onnx` unless given; `sensitivity_budget_s`, a share of the criteria's budget unless given.
    """
    job = context.job
    criteria = Criteria.model_validate(job.arguments["criteria"])
    spec = DatasetSpec.model_validate(job.arguments["dataset"])
    kind = job.arguments.get("format", "onnx")
    model = job.inputs.get("model") or job.inputs["original"]
    scratch = job.scratch / "work"
    scratch.mkdir(exist_ok=True)
    inputs = open_engine(kind, model, scratch).summary.inputs
    dataset = load_dataset(job.inputs["dataset"], spec, inputs, job.seed, scratch=scratch)
    agent = AnalysisAgent(scratch, sensitivity_budget_s=job.arguments.get("sensitivity_budget_s"))
    report = agent.analyse(model, dataset, criteria, context, format=kind)
    return JobResult(body=report.model_dump(mode="json"))
