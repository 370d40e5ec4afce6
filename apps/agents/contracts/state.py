"""The values between the pipeline and the `OptimizationManager`: what is known, what to do next.

The pipeline turns a session's rows into a `SessionState`, asks `OptimizationManager.next(state)` and carries out the
`Decision`. The manager is a pure function: the same state gives the same decision, so a crash loses nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field, model_validator

from apps.agents.contracts.chain import MODEL, Application, from_joined_title
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.faults import Fault
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.reports.selection import Contest
from apps.agents.contracts.values import Value


class StepKind(StrEnum):
    ANALYSE = "analyse"
    PLAN = "plan"
    OPTIMIZE = "optimize"
    EVALUATE = "evaluate"
    PACKAGE = "package"


class Status(StrEnum):
    """Where a session or a step stands. *failed* has a reason that a member can act on."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE = frozenset({Status.QUEUED, Status.RUNNING})
TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})


class Phase(StrEnum):
    """What a session is doing."""

    ANALYSING = "analysing"
    PLANNING = "planning"
    OPTIMIZING = "optimizing"
    EVALUATING = "evaluating"
    PACKAGING = "packaging"


class CandidateStatus(StrEnum):
    PLANNED = "planned"
    RUNNING = "running"
    REJECTED = "rejected"
    """Measured, and rolled back: it breaks a constraint, is no better than the original, or failed when judged."""
    FAILED = "failed"
    """A step of it failed."""
    ACCEPTED = "accepted"
    """Nothing speaks against it on the examples that rank; its reason says whether it was judged."""
    SELECTED = "selected"
    """Judged, and the session's answer."""
    SKIPPED = "skipped"
    """Planned and never measured: the budget was spent, or it could no longer win."""


class Outcome(StrEnum):
    IMPROVED = "improved"
    """A candidate holds every constraint and is handed over."""
    UNCHANGED = "unchanged"
    """The original stands: what was measured is not better, or breaks a limit."""
    NOT_MEASURED = "not_measured"
    """No candidate was measured, so nothing is known of what would be better."""
    INCONCLUSIVE = "inconclusive"
    """A candidate holds every limit that could be judged, and the machine was too busy to time it."""


UNDECIDED = frozenset({Outcome.NOT_MEASURED, Outcome.INCONCLUSIVE})
"""Nothing is known: neither that a candidate is better, nor that none is."""


class StepRequest(Value):
    """Work that the manager asks for. `key` is unique in the session, so asking twice makes one step."""

    key: str
    kind: StepKind
    queue: str
    """`cpu` or `gpu`."""
    reason: str
    candidate: str | None = None
    technique: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    parents: dict[str, str] = Field(default_factory=dict)
    """Key of the step whose artifact is the input, by role, or `ORIGINAL`. Without `MODEL` that is the original."""

    @property
    def parent(self) -> str | None:
        """Key of the step whose artifact is the model that the step starts from; `None` is the original."""
        return self.parents.get(MODEL)


class StepRecord(Value):
    """A step as it stands. `result` is the JSON of the kind's report once completed."""

    request: StepRequest
    status: Status
    result: dict[str, Any] = Field(default_factory=dict)
    error_code: str | None = None
    error: str | None = None
    fault: Fault | None = None
    """What failed, where it was not the work itself: then nothing is known of what the step tried."""
    duration_s: float | None = None
    size_bytes: int | None = None
    """Of the artifact, where the step made one."""


class Prediction(Value):
    """What the plan expects of a candidate, to be held against what is measured."""

    speedup: float
    size_ratio: float
    metric_drop_points: float
    metric_drop_high: float | None = None
    """How much more it may be where nothing of the kind was measured; `None` where something was."""
    risk: str
    basis: str
    """Where the numbers come from, in a sentence."""
    minutes: float | None = None
    """Of making and measuring it; `None` where that is not known, as in plans from before it was predicted."""
    minutes_basis: str | None = None
    """Where the minutes come from, in a sentence."""


class CandidateRecord(Value):
    """A candidate: a chain of applied techniques with its evaluation, and what became of it."""

    key: str
    """`c01`, `c02`, … in the order planned; a repair is named after the candidate at its root: `c03r1`, `c03r2`."""
    steps: tuple[Application, ...] = Field(min_length=1)
    """From the original to the candidate, exports and preparations included."""
    parent: str | None = None
    """The candidate that this one repairs, where re-planning made it."""
    predicted: Prediction
    status: CandidateStatus = CandidateStatus.PLANNED
    reason: str
    """Why it was planned; once decided, why it was accepted, rejected or selected."""
    score: float | None = None
    """The weighted gain under the session's objective; the original is 1."""

    @model_validator(mode="before")
    @classmethod
    def _of_one_link(cls, given: Any) -> Any:
        """Reads a record written before candidates were chains: it names the last link only, title and variant in one.

        `apps.agents.planning.chains.in_full` adds what comes before it.
        """
        if not isinstance(given, dict) or "technique" not in given:
            return given
        rest = {name: value for name, value in given.items() if name not in ("technique", "parameters", "title")}
        return {**rest, "steps": (from_joined_title(given["technique"], given["parameters"], given["title"]),)}

    @property
    def last(self) -> Application:
        """What the candidate is named after."""
        return self.steps[-1]

    @property
    def technique(self) -> str:
        return self.last.technique

    @property
    def parameters(self) -> dict[str, Any]:
        return self.last.parameters

    @property
    def title(self) -> str:
        return self.last.named


class Omission(Value):
    """A technique or variant that the plan leaves out, and why."""

    technique: str
    """Its name; that of a framework, such as `PyTorch`, for all of its techniques that are out of reach."""
    title: str
    reason: str


class Plan(Value):
    """The argument: which candidates in which order, what each should gain, what was left out and why."""

    summary: str
    candidates: tuple[CandidateRecord, ...]
    omitted: tuple[Omission, ...]


class AgentDecision(Value):
    """One decision of an agent: an audit event. `key` is unique in the session, so telling twice records once."""

    key: str
    agent: str
    action: str
    subject: str | None = None
    reason: str


class Miss(Value):
    """By how much a candidate missed one constraint."""

    candidate: str
    constraint: str
    sentence: str


class Choice(Value):
    """What choosing among several candidates cost in certainty."""

    tried: int
    """Candidates that were measured on the validation part."""
    choosing_examples: int
    finalists: tuple[str, ...]
    """Who was to be judged, the highest ranked first."""
    judged: int
    judging_examples: int
    """That judged: nobody had chosen by them."""
    sharing: int
    """How many finalists shared the chance of error of the member's confidence when this was found."""
    confidence: float
    """Of each interval, where so many share it."""
    margin_alone: float | None = None
    """Half the interval of the drop had one candidate only been judged; `None` where the drop is exact."""
    margin: float | None = None
    unit: str = "points"
    contest: Contest | None = None
    """What having come out best does to the numbers of the one that did."""
    sentence: str
    """All of it in words."""


class Tone(StrEnum):
    """How a headline is to be taken."""

    GOOD = "good"
    """Every constraint is proven, and nothing got worse beyond what the criteria allow of the metric."""
    MIXED = "mixed"
    """Something got better and something else got worse."""
    OPEN = "open"
    """Better as measured, and not proven."""
    NEUTRAL = "neutral"
    """Nothing to celebrate and nothing to be warned of."""
    UNMEASURED = "unmeasured"
    """Nothing was measured."""
    BUSY = "busy"
    """The machine was too busy to tell."""


class Headline(Value):
    """A verdict in one sentence, without a full stop: what got better, and beside it what got worse."""

    tone: Tone
    sentence: str


class Verdict(Value):
    """How the session ends."""

    outcome: Outcome
    candidate: str | None = None
    binding: str | None = None
    """The constraint that stood in the way most often, when the original stands."""
    reason: str
    misses: tuple[Miss, ...] = ()
    inconclusive: tuple[str, ...] = ()
    """What the evidence leaves open about the candidate handed over and what would decide; empty when all is proven."""
    choice: Choice | None = None
    """`None` where nothing was judged."""
    advice: str | None = None
    """What to do about a session that is undecided, in sentences."""
    speed_unknown: str | None = None
    """Why nothing is known of the speed of the candidate handed over, in a sentence."""
    timed_runs: int = 0
    """Of the candidates whose speed is not known for the machine was too busy."""
    disturbed_runs: int = 0
    """How many of `timed_runs` other programs disturbed, so that they do not count."""
    headline: Headline | None = None
    """Made when the verdict is; `apps.agents.session.headline.headline_of` makes one for verdicts that are older."""


class Closing(Value):
    """How the search ended, frozen into the `parameters` of the package step when it is asked for."""

    verdict: Verdict
    skipped: dict[str, str] = Field(default_factory=dict)
    """Why each candidate that was never measured was left out."""
    budget: str | None = None
    """The sentence that says which budget was spent, when one was."""
    untried: str | None = None
    """Why the package is handed over without having been tried, in a sentence."""


class Decision(Value):
    """What to do next: start `requests`, show `candidates`, record `events`; with a `verdict` the session is over."""

    phase: Phase
    progress: float
    """Share of the expected work that is done, 0 to 1."""
    requests: tuple[StepRequest, ...] = ()
    candidates: tuple[CandidateRecord, ...] = ()
    events: tuple[AgentDecision, ...] = ()
    verdict: Verdict | None = None
    failure: tuple[str, str] | None = None
    """Code and sentence when the session cannot go on, such as an analysis that failed."""


class SessionState(Value):
    """All that is known of a session, in the order in which steps were asked for."""

    criteria: Criteria
    model: ModelSummary
    dataset: DatasetSummary
    seed: int
    steps: tuple[StepRecord, ...] = ()
    worked_s: float = 0.0
    """The session's own time: while at least one of its steps ran, tries that failed included."""
    parallelism: int = 1
    """How many steps may run side by side: the number of live workers."""
    libraries: tuple[str, ...] = ()
    """Distributions that some live worker has installed."""
    disabled_techniques: tuple[str, ...] = ()
    """Switched off by the operators."""
