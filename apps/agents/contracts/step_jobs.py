"""From a step that the manager asks for to the job that carries it out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.job import Job
from apps.agents.contracts.job_arguments import (
    AnalyseArguments,
    Arguments,
    EvaluateArguments,
    OptimizeArguments,
    PackageArguments,
    PlanArguments,
)
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.reports.measurements import OriginalMemory
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.reports.selection import PairedOutcomes
from apps.agents.contracts.state import Closing, StepKind, StepRequest
from apps.agents.contracts.values import Value

HANDLERS: dict[StepKind, str] = {
    StepKind.ANALYSE: "apps.agents.handlers.analysis:analyse",
    StepKind.PLAN: "apps.agents.handlers.plan:run",
    StepKind.OPTIMIZE: "apps.agents.handlers.optimize:run",
    StepKind.EVALUATE: "apps.agents.handlers.evaluate:run",
    StepKind.PACKAGE: "apps.agents.handlers.package:run",
}
"""What the child runs for each kind of step."""

MEASURING = (StepKind.ANALYSE, StepKind.EVALUATE)
"""Kinds that time something: they get the cores that are kept for it."""


class StepFacts(Value):
    """What is known where a step is carried out. A kind that needs a fact refuses to go without it."""

    seed: int
    threads: int = 1
    measuring_cores: tuple[int, ...] = ()
    """The cores that are kept for measuring; empty is all."""
    original_format: str
    format: str
    """Of the model that the step starts from."""
    inputs: dict[str, str] = Field(default_factory=dict)
    """Formats of the other models that it reads, by role."""
    signature: str | None = None
    """The original's function, where its format has room for several."""
    criteria: Criteria | None = None
    dataset: DatasetSpec | None = None
    """How the data set is read."""
    batch_divisor: int = 1
    quiet_wait_s: float | None = None
    timing_s: float | None = None
    data: DatasetSummary | None = None
    """What is known of the data set."""
    analysis: AnalysisReport | None = None
    exported: tuple[AnalysisReport, ...] = ()
    predicted_speedup: float | None = None
    original_memory: OriginalMemory | None = None
    outcomes: dict[Part, dict[str, PairedOutcomes | None]] = Field(default_factory=dict)
    filename: str | None = None
    """The name that the packaged model gets."""
    summary: ModelSummary | None = None
    """What is known of the packaged model."""


def job_for(
    request: StepRequest,
    facts: StepFacts,
    *,
    scratch: Path,
    inputs: Mapping[str, Path],
    handlers: Mapping[StepKind, str] = HANDLERS,
) -> Job:
    """The job of `request`, working in `scratch` on the files `inputs`. Raises `ValidationError` for a missing fact."""
    return Job(
        handler=handlers[request.kind],
        scratch=scratch,
        inputs=dict(inputs),
        arguments=arguments_for(request, facts).plain(),
        seed=facts.seed,
        threads=facts.threads,
        cores=facts.measuring_cores if request.kind in MEASURING else (),
    )


def arguments_for(request: StepRequest, facts: StepFacts) -> Arguments:
    """What the handler of `request` is told. Raises `ValidationError` for a missing fact."""
    model = _known(facts, "original_format", "format", "signature", "dataset")
    if facts.batch_divisor > 1:
        model["batch_divisor"] = facts.batch_divisor
    match request.kind:
        case StepKind.ANALYSE:
            return AnalyseArguments.model_validate(model | _known(facts, "criteria"))
        case StepKind.PLAN:
            known = _known(facts, "criteria", "analysis") | {"exported": facts.exported, "dataset": facts.data}
            known |= {"training_share": facts.dataset.training_share} if facts.dataset else {}
            return PlanArguments.model_validate(known | request.parameters)
        case StepKind.OPTIMIZE:
            model |= {"inputs": facts.inputs} if facts.inputs else {}
            return OptimizeArguments.model_validate(
                {**model, "technique": request.technique, "parameters": request.parameters}
            )
        case StepKind.EVALUATE:
            known = _known(facts, "criteria", "quiet_wait_s", "timing_s", "predicted_speedup", "original_memory")
            known |= {"technique": request.technique}
            if request.parameters.get("part") == Part.EVALUATION:
                known |= {"candidate": request.candidate, "outcomes": facts.outcomes}
            return EvaluateArguments.model_validate(model | known | request.parameters)
        case StepKind.PACKAGE:
            closing = Closing.model_validate(request.parameters)
            verdict = closing.verdict
            known = _known(facts, "criteria", "filename", "summary")
            known |= {"outcome": verdict.outcome, "untried": closing.untried}
            headline = {"headline": verdict.headline.sentence} if verdict.headline else {}
            return PackageArguments.model_validate(model | known | headline)


def _known(facts: StepFacts, *names: str) -> dict[str, Any]:
    """Those of the facts called `names` that are known."""
    return {name: value for name in names if (value := getattr(facts, name)) is not None}
