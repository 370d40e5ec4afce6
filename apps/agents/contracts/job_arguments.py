"""What each kind of job is told beside its files: `Job.arguments`, as values. A handler starts by reading its own."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.job import Job
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.reports.measurements import OriginalMemory
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.reports.runtimes import RuntimeBaseline
from apps.agents.contracts.reports.selection import PairedOutcomes
from apps.agents.contracts.state import Outcome
from apps.agents.contracts.values import Value

LONGEST_TIMING_S = 20.0


class Arguments(Value):
    @classmethod
    def of(cls, job: Job) -> Self:
        """The arguments of `job`. Raises `pydantic.ValidationError` where one is missing, wrong, or unknown."""
        return cls.model_validate(job.arguments)

    def plain(self) -> dict[str, Any]:
        """As JSON, without what was left at its default."""
        return {name: value for name, value in self.model_dump(mode="json").items() if name in self.model_fields_set}


class InspectModelArguments(Arguments):
    format: str
    limit_bytes: int | None = None
    """The most that the model may take, packed or unpacked; `None` is the inspector's own limit."""
    signature: str | None = None
    """Which function is meant, of a model that offers several."""


class InspectDatasetArguments(Arguments):
    spec: DatasetSpec
    model: ModelSummary | None = None
    """To check the data against as well."""


class ModelArguments(Arguments):
    """Of every job that runs a model: what the session's original is, what the model at hand is, and the data set."""

    original_format: str
    format: str
    """Of the model at hand."""
    signature: str | None = None
    """Which function of the original is meant, where it offers several."""
    dataset: DatasetSpec
    batch_divisor: int = Field(default=1, ge=1)
    """How many times smaller batches are to be, after attempts that ran out of memory."""


class AnalyseArguments(ModelArguments):
    criteria: Criteria
    sensitivity_budget_s: float | None = None
    """`None` is a share of the criteria's budget."""


class PlanArguments(Arguments):
    criteria: Criteria
    analysis: AnalysisReport
    exported: tuple[AnalysisReport, ...] = ()
    """The analyses of what the original was exported to."""
    dataset: DatasetSummary
    libraries: tuple[str, ...] = ()
    """Distributions that some worker has installed."""
    disabled_techniques: tuple[str, ...] = ()
    training_share: float = 0.0
    """Of the data set's examples, that techniques may train on."""
    export_failures: dict[str, str] = Field(default_factory=dict)
    """Why there is no export although one was tried, by target format."""


class OptimizeArguments(ModelArguments):
    technique: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Those that differ from the defaults."""
    inputs: dict[str, str] = Field(default_factory=dict)
    """Formats of the models that the technique reads beside the one it changes, by role."""


class EvaluateArguments(ModelArguments):
    criteria: Criteria
    technique: str | None = None
    """The candidate's."""
    predicted_speedup: float | None = None
    """The plan's."""
    quiet_wait_s: float = 0.0
    """How long timing may wait for a quiet moment."""
    timing_s: float = LONGEST_TIMING_S
    """How long timing itself may take."""
    original_memory: OriginalMemory | None = None
    """What the analysis measured of the original; where it holds for another batch or machine it is measured again."""
    runtime_baseline: RuntimeBaseline | None = None
    """The float model in the candidate's runtime, where that is not the original's."""
    part: Part = Part.EVALUATION
    """Which examples it is measured on."""
    finalists: tuple[str, ...] = ()
    """Keys of all candidates that share the chance of error."""
    confidence: float | None = None
    """The level that each finalist is judged at. It follows from the criteria and `finalists`; it is for readers."""
    contenders: dict[str, float] = Field(default_factory=dict)
    """Scores, by key, of all candidates that a finalist was chosen among."""
    candidate: str | None = None
    """The key of a finalist."""
    outcomes: dict[Part, dict[str, PairedOutcomes | None]] = Field(default_factory=dict)
    """What each candidate made of the examples, by part and by key; of a finalist's evaluation only."""


class PackageArguments(ModelArguments):
    criteria: Criteria
    filename: str
    """The model's name in the package."""
    summary: ModelSummary | None = None
    """What is known of the model."""
    outcome: Outcome
    untried: str | None = None
    """Why the package's script is not to be run; then the model is not opened either."""
    headline: str | None = None
    """The verdict in a sentence."""
