"""Turns a step that the manager requests into the job that carries it out."""

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
    MatrixArguments,
    OptimizeArguments,
    PackageArguments,
    PlanArguments,
    RefineArguments,
    TrialsArguments,
)
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.reports.measurements import OriginalMemory
from apps.agents.contracts.reports.model import Interface, ModelSummary
from apps.agents.contracts.reports.room import WorkersRoom
from apps.agents.contracts.reports.selection import PairedOutcomes
from apps.agents.contracts.searching import SUPERNET, SoFar, TrialCard
from apps.agents.contracts.state import Closing, StepKind, StepRequest
from apps.agents.contracts.taking import TAKING
from apps.agents.contracts.values import Value

HANDLERS: dict[StepKind, str] = {
    StepKind.ANALYSE: "apps.agents.handlers.analysis:analyse",
    StepKind.PLAN: "apps.agents.handlers.plan:run",
    StepKind.OPTIMIZE: "apps.agents.handlers.optimize:run",
    StepKind.SUPERNET: "apps.agents.handlers.search:train_supernet",
    StepKind.TRIALS: "apps.agents.handlers.search:make_trials",
    StepKind.EVALUATE: "apps.agents.handlers.evaluate:run",
    StepKind.REFINE: "apps.agents.handlers.refine:run",
    StepKind.PACKAGE: "apps.agents.handlers.package:run",
    StepKind.MATRIX: "apps.agents.handlers.speed_matrix:run",
}
"""The function that the child runs for each kind of step."""

MEASURING = (StepKind.ANALYSE, StepKind.EVALUATE, StepKind.MATRIX)
"""Kinds of steps that time something. They get the cores that are reserved for measuring."""


class StepFacts(Value):
    """What is known when a step is carried out. If a kind of step lacks a fact that it needs, it is refused."""

    seed: int
    threads: int = 1
    measuring_cores: tuple[int, ...] = ()
    """The cores that are reserved for measuring; empty means all."""
    original_format: str
    format: str
    """The format of the step's input model."""
    inputs: dict[str, str] = Field(default_factory=dict)
    """The formats of the other models that the step reads, by role."""
    signature: str | None = None
    """The function of the original to use, if its format can hold several."""
    own_signature: str | None = None
    """The function of the step's model to use, if that is an uploaded version other than the original."""
    original_interface: Interface | None = None
    """What the original takes and gives, once it was analysed."""
    criteria: Criteria | None = None
    dataset: DatasetSpec | None = None
    """How the data set is read."""
    batch_divisor: int = 1
    quiet_wait_s: float | None = None
    timing_s: float | None = None
    student: ModelSummary | None = None
    """The session's student as inspection described it."""
    data: DatasetSummary | None = None
    """The data set as inspection described it."""
    workers: WorkersRoom | None = None
    """How much memory and disk a step may take."""
    analysis: AnalysisReport | None = None
    exported: tuple[AnalysisReport, ...] = ()
    predicted_speedup: float | None = None
    original_memory: OriginalMemory | None = None
    outcomes: dict[Part, dict[str, PairedOutcomes | None]] = Field(default_factory=dict)
    so_far: SoFar = SoFar()
    """What the steps of a search have found."""
    made: tuple[TrialCard, ...] = ()
    """What an earlier attempt of this step of a search has scored."""
    filename: str | None = None
    """The name of the packaged model's file."""
    summary: ModelSummary | None = None
    """The packaged model as inspection described it."""


def job_for(
    request: StepRequest,
    facts: StepFacts,
    *,
    scratch: Path,
    inputs: Mapping[str, Path],
    handlers: Mapping[StepKind, str] = HANDLERS,
) -> Job:
    """The job that carries out `request` in `scratch`, on the files `inputs`. Raises `ValidationError` if a fact is
    missing."""
    arguments = arguments_for(request, facts)
    return Job(
        handler=handlers[request.kind],
        scratch=scratch,
        inputs=dict(inputs),
        arguments=arguments.plain(),
        frameworks=arguments.frameworks,
        seed=facts.seed,
        threads=facts.threads,
        cores=facts.measuring_cores if request.kind in MEASURING else (),
    )


def arguments_for(request: StepRequest, facts: StepFacts) -> Arguments:
    """The arguments of the handler of `request`. Raises `ValidationError` if a fact is missing."""
    model = _known(facts, "original_format", "format", "signature", "own_signature", "original_interface", "dataset")
    if facts.batch_divisor > 1:
        model["batch_divisor"] = facts.batch_divisor
    match request.kind:
        case StepKind.ANALYSE:
            return AnalyseArguments.model_validate(model | _known(facts, "criteria") | request.parameters)
        case StepKind.PLAN:
            known = _known(facts, "criteria", "analysis", "student", "workers") | {
                "exported": facts.exported,
                "dataset": facts.data,
            }
            known |= {"training_share": facts.dataset.training_share} if facts.dataset else {}
            return PlanArguments.model_validate(known | request.parameters)
        case StepKind.OPTIMIZE | StepKind.SUPERNET | StepKind.TRIALS:
            inputs = {role: form for role, form in facts.inputs.items() if role != SUPERNET}
            model |= {"inputs": inputs} if inputs else {}
            model |= {"so_far": facts.so_far} if facts.so_far.trials else {}
            model |= {"technique": request.technique}
            if request.kind is not StepKind.TRIALS:
                return OptimizeArguments.model_validate({**model, "parameters": request.parameters})
            model |= {"made": facts.made} if facts.made else {}
            return TrialsArguments.model_validate({**model, **request.parameters})
        case StepKind.EVALUATE:
            known = _known(facts, "criteria", "quiet_wait_s", "timing_s", "predicted_speedup", "original_memory")
            known |= {"technique": request.technique}
            if request.parameters.get("part") == Part.EVALUATION:
                known |= {"candidate": request.candidate, "outcomes": facts.outcomes}
            asked = {name: value for name, value in request.parameters.items() if name != TAKING}
            return EvaluateArguments.model_validate(model | known | asked)
        case StepKind.REFINE:
            return RefineArguments.model_validate({"refine": request.parameters})
        case StepKind.PACKAGE:
            closing = Closing.model_validate(request.parameters)
            verdict = closing.verdict
            known = _known(facts, "criteria", "filename", "summary")
            known |= {"outcome": verdict.outcome, "untried": closing.untried}
            headline = {"headline": verdict.headline.sentence} if verdict.headline else {}
            return PackageArguments.model_validate(model | known | headline)
        case StepKind.MATRIX:
            return MatrixArguments.model_validate(model | _known(facts, "criteria") | request.parameters)


def _known(facts: StepFacts, *names: str) -> dict[str, Any]:
    """The facts `names` that are known, by name."""
    return {name: value for name in names if (value := getattr(facts, name)) is not None}
