"""The arguments of each kind of job (`Job.arguments`) as values. A handler starts by reading them."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.experience import Learned
from apps.agents.contracts.formats import Framework, format_spec
from apps.agents.contracts.job import Job
from apps.agents.contracts.plan_edits import PlanEdits
from apps.agents.contracts.refinement import RefineParameters
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.reports.measurements import OriginalMemory
from apps.agents.contracts.reports.model import Interface, ModelSummary
from apps.agents.contracts.reports.room import WorkersRoom
from apps.agents.contracts.reports.runtimes import RuntimeBaseline
from apps.agents.contracts.reports.selection import PairedOutcomes
from apps.agents.contracts.reports.speed_matrix import SpeedGrid
from apps.agents.contracts.searching import Portion, SoFar, TrialCard
from apps.agents.contracts.state import Outcome
from apps.agents.contracts.values import Value

LONGEST_TIMING_S = 20.0


class Arguments(Value):
    @classmethod
    def of(cls, job: Job) -> Self:
        """The arguments of `job`. Raises `pydantic.ValidationError` if one is missing, wrong or unknown."""
        return cls.model_validate(job.arguments)

    def plain(self) -> dict[str, Any]:
        """The arguments as JSON, without those that were not set."""
        return {name: value for name, value in self.model_dump(mode="json").items() if name in self.model_fields_set}

    @property
    def frameworks(self) -> tuple[Framework, ...]:
        """The frameworks of the models that the handler opens."""
        return ()


class InspectModelArguments(Arguments):
    format: str
    limit_bytes: int | None = None
    """The largest model allowed, packed or unpacked; `None` means the inspector's own limit."""
    signature: str | None = None
    """The function to use, if the model has several."""

    @property
    def frameworks(self) -> tuple[Framework, ...]:
        return (format_spec(self.format).framework,)


class InspectDatasetArguments(Arguments):
    spec: DatasetSpec
    model: ModelSummary | None = None
    """If given, the data is also checked against this model."""


class ModelArguments(Arguments):
    """The arguments of every job that runs a model: the original's format, this model's format, and the data set."""

    original_format: str
    format: str
    """The format of the model that the job works on."""
    signature: str | None = None
    """The function of the original to use, if it has several."""
    own_signature: str | None = None
    """The function of the job's model to use, if that is neither the original nor an artifact."""
    original_interface: Interface | None = None
    """What the original takes and gives; `None` where the job has to read it from the original."""
    dataset: DatasetSpec
    batch_divisor: int = Field(default=1, ge=1)
    """How many times smaller the batches must be, after attempts that ran out of memory."""

    @property
    def frameworks(self) -> tuple[Framework, ...]:
        return tuple(format_spec(name).framework for name in (self.format, self.original_format))


class AnalyseArguments(ModelArguments):
    criteria: Criteria
    sensitivity_budget_s: float | None = None
    """`None` means a share of the criteria's budget."""


class PlanArguments(Arguments):
    criteria: Criteria
    analysis: AnalysisReport
    exported: tuple[AnalysisReport, ...] = ()
    """The analyses of the models that the original was exported to."""
    dataset: DatasetSummary
    libraries: tuple[str, ...] = ()
    """The distributions that at least one worker has installed."""
    disabled_techniques: tuple[str, ...] = ()
    paused_techniques: dict[str, str] = {}
    """Of those, the ones that are paused because they keep failing, and a sentence that says so."""
    training_share: float = 0.0
    """Of the data set's examples, that techniques may train on."""
    student: ModelSummary | None = None
    """The model that a member gave the session to be trained."""
    workers: WorkersRoom | None = None
    """How much memory and disk a step may take."""
    export_failures: dict[str, str] = Field(default_factory=dict)
    """By target format: why an export that was tried failed."""
    edits: PlanEdits = PlanEdits()
    """A member's edits of the plan."""
    learned: Learned = Learned()
    """What the history said when the plan was requested."""
    usual_s: dict[str, float] = Field(default_factory=dict)
    """How long steps took lately: see `SessionState.usual_s`."""


class RefineArguments(Arguments):
    refine: RefineParameters


class OptimizeArguments(ModelArguments):
    technique: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Only the parameters that differ from their defaults."""
    inputs: dict[str, str] = Field(default_factory=dict)
    """The formats of the other models that the technique reads, by role."""
    so_far: SoFar = SoFar()
    """Of a search in steps: what those before have found, besides the supernet's file."""


class TrialsArguments(OptimizeArguments):
    portion: Portion
    made: tuple[TrialCard, ...] = ()
    """What an earlier attempt of the step has scored already."""


class EvaluateArguments(ModelArguments):
    criteria: Criteria
    technique: str | None = None
    """The candidate's last technique."""
    earlier: tuple[str, ...] = ()
    """The techniques before it in the candidate's chain, without those that the chain can do without."""
    predicted_speedup: float | None = None
    """The plan's prediction."""
    quiet_wait_s: float = 0.0
    """How long timing may wait for a quiet moment."""
    timing_s: float = LONGEST_TIMING_S
    """How long timing itself may take."""
    original_memory: OriginalMemory | None = None
    """The original's memory from the analysis. It is measured again if that was for another batch size or machine."""
    runtime_baseline: RuntimeBaseline | None = None
    """The float model in the candidate's runtime, if the original has another runtime."""
    part: Part = Part.EVALUATION
    """The examples on which it is measured."""
    in_portions: bool = False
    """Whether a candidate that is only ranked is dropped after a portion of the examples that rules it out."""
    finalists: tuple[str, ...] = ()
    """The keys of all candidates that share the chance of error."""
    judged_before: int = Field(default=0, ge=0)
    """How many candidates share it as well, because they were judged on the same examples in the sessions that this
    one continues."""
    confidence: float | None = None
    """The level at which each finalist is judged. It follows from the criteria and `finalists`, and is for readers."""
    contenders: dict[str, float] = Field(default_factory=dict)
    """The scores, by key, of all candidates among which the finalist was chosen."""
    candidate: str | None = None
    """The key of the finalist."""
    outcomes: dict[Part, dict[str, PairedOutcomes | None]] = Field(default_factory=dict)
    """Each candidate's outcomes on the examples, by part and key. Given only for the evaluation of a finalist."""


class MatrixArguments(ModelArguments):
    criteria: Criteria
    grid: SpeedGrid
    by: str
    """The member who asked."""


class PackageArguments(ModelArguments):
    criteria: Criteria
    filename: str
    """The name of the model's file in the package."""
    summary: ModelSummary | None = None
    """The model as inspection saw it."""
    outcome: Outcome
    untried: str | None = None
    """Why the package's script must not be run. If given, the model is not opened either."""
    headline: str | None = None
    """The verdict as one sentence."""
