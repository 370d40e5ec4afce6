"""The values that the pipeline and the `OptimizationManager` exchange: what is known, and what to do next.

The pipeline turns a session's rows into a `SessionState`, calls `OptimizationManager.next(state)` and carries out the
`Decision`. The manager is a pure function: the same state gives the same decision, so nothing is lost in a crash.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field, model_validator

from apps.agents.contracts.chain import MODEL, Application, Chain, from_joined_title, title_of
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import Metric
from apps.agents.contracts.experience import Expected, Learned
from apps.agents.contracts.faults import Fault
from apps.agents.contracts.forecast import Forecast
from apps.agents.contracts.plan_edits import Asked, EditKind, EditOutcome, PlanEdits
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.reports.selection import Contest
from apps.agents.contracts.reports.slack import Foreseen, Nearest
from apps.agents.contracts.taking import Taken, Taking
from apps.agents.contracts.values import Value


class StepKind(StrEnum):
    ANALYSE = "analyse"
    PLAN = "plan"
    OPTIMIZE = "optimize"
    SUPERNET = "supernet"
    """Trains the network whose sub-networks a search tries."""
    TRIALS = "trials"
    """Tries some of them."""
    EVALUATE = "evaluate"
    REFINE = "refine"
    PACKAGE = "package"
    MATRIX = "matrix"
    """A member asks a completed session for speed by batch size and threads."""


class Status(StrEnum):
    """The status of a session or a step. *failed* has a reason that a member can act on."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


JUDGING = "judge"
"""In `SessionState.usual_s`: steps that judge a finalist, which take longer than those that rank."""
JUDGING_WAIT = "judge wait"
"""In `SessionState.usual_s`: how much longer such a step takes because it waits for a quiet machine."""
JUDGING_ALL = "judge all"
"""In `SessionState.usual_s`: all such steps of a session of the same model and data."""
ACTIVE = frozenset({Status.QUEUED, Status.RUNNING})
TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})
STOPPED = frozenset({Status.FAILED, Status.CANCELLED})
"""Ended without a result, so that it can be resumed."""


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
    """Measured and rolled back: it breaks a constraint, is not better than the original, or was judged and failed."""
    FAILED = "failed"
    """One of its steps failed."""
    ACCEPTED = "accepted"
    """It is within the limits on the validation examples. Its reason says whether it was judged."""
    SELECTED = "selected"
    """Judged, and the session's result."""
    SKIPPED = "skipped"
    """Planned but never measured: the budget was spent, or it could no longer win."""


class Outcome(StrEnum):
    IMPROVED = "improved"
    """A candidate holds every constraint and is delivered."""
    UNCHANGED = "unchanged"
    """The original stands: every measured candidate breaks a limit or is not better."""
    NOT_MEASURED = "not_measured"
    """Not one candidate was measured, so it is not known whether one is better."""
    INCONCLUSIVE = "inconclusive"
    """A candidate holds every limit that could be judged, but the machine was too busy to time it. Of a comparison: the
    evidence does not decide at least one limit, and none is violated."""
    PROVEN = "proven"
    """Of a comparison: the compared version holds every limit."""
    VIOLATED = "violated"
    """Of a comparison: the compared version breaks at least one limit."""


UNDECIDED = frozenset({Outcome.NOT_MEASURED, Outcome.INCONCLUSIVE})
"""Outcomes that leave open whether a candidate is better than the original."""


class StepRequest(Value):
    """A step that the manager requests. `key` is unique in the session, so a repeated request does not make a second
    step."""

    key: str
    kind: StepKind
    queue: str
    """`cpu` or `gpu`."""
    reason: str
    candidate: str | None = None
    technique: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    parents: dict[str, str] = Field(default_factory=dict)
    """By role: the key of the step whose artifact is the input, or `ORIGINAL` or `STUDENT`. Without `MODEL`, the model
    is the original."""

    @property
    def parent(self) -> str | None:
        """The key of the step whose artifact is the step's model; `None` means the original."""
        return self.parents.get(MODEL)


class StepRecord(Value):
    """A step and its present status. Once it is completed, `result` is the report of its kind as JSON."""

    request: StepRequest
    status: Status
    result: dict[str, Any] = Field(default_factory=dict)
    error_code: str | None = None
    error: str | None = None
    fault: Fault | None = None
    """What failed, if it was not the work itself. The failure then shows nothing about what the step tried."""
    duration_s: float | None = None
    quiet_wait_s: float = 0.0
    """How much of it the step spent waiting for a quiet machine before it timed."""
    size_bytes: int | None = None
    """The size of the step's artifact, if it made one."""
    stands_in: bool = False
    """Whether it stands for an optimize step that is to come: the steps of its search run, or one of them was lost."""
    taken: bool = False
    """Whether its artifact was in the store already, so that it took no time here. `duration_s` is of where it ran."""


class PlannedStep(Value):
    """One step of a plan, and what it takes before it has run: time as predicted, memory and disk at least."""

    title: str
    technique: str = ""
    """The technique that it applies; empty for a step that applies none."""
    minutes: float
    memory_bytes: int | None = None
    """`None` if not known."""
    disk_bytes: int | None = None
    """Of the files that it makes; `None` if not known."""
    basis: str
    """The source of the minutes, in a sentence."""


class Prediction(Value):
    """What the plan expects of a candidate. Reports compare it with the measurements."""

    speedup: float
    size_ratio: float
    metric_drop_points: float
    metric_drop_high: float | None = None
    """The drop may be as large as this because nothing similar was measured; `None` if something was."""
    risk: str
    basis: str
    """The source of the numbers, in a sentence."""
    minutes: float | None = None
    """For making and measuring it; `None` if not known, as in plans from before this was predicted."""
    minutes_basis: str | None = None
    """The source of the minutes, in a sentence."""
    tables: Expected | None = None
    """What was expected before the history of earlier sessions moved it; `None` if no history did."""
    history: str | None = None
    """The sentence in `basis` about earlier sessions; `None` if none moved the prediction."""
    experience: float = 0.0
    """How much of the speed-up is experience from earlier sessions, from 0 (none) to 1 (all)."""
    memory_bytes: int | None = None
    """The memory that a step which makes it takes at least; `None` in older plans."""
    disk_bytes: int | None = None
    """The disk that making it takes at least; `None` in older plans."""
    steps: tuple[PlannedStep, ...] = ()
    """The steps that are taken for it alone. Their minutes add up to `minutes`, their disk to `disk_bytes`, and
    `memory_bytes` is the most that one of them takes. Empty in older plans."""


class CandidateRecord(Value):
    """A candidate: a chain of techniques, its prediction, and its status.

    `steps` are the techniques in order, from the original to the candidate. The candidate is named after the last one.
    """

    key: str
    """`c01`, `c02`, … in the order of the plan. A repair is named after the planned candidate: `c03r1`, `c03r2`."""
    steps: tuple[Application, ...] = Field(min_length=1)
    """The chain from the original to the candidate, including exports and preparations."""
    parent: str | None = None
    """The candidate that this one repairs, if it is a repair."""
    predicted: Prediction
    status: CandidateStatus = CandidateStatus.PLANNED
    reason: str
    """Why it was planned. Once it is decided: why it was accepted, rejected or selected."""
    score: float | None = None
    """The weighted gain under the session's objective. The original's is 1."""
    asked: Asked | None = None
    """What a member asked for about it before the start; `None` if nothing."""

    @model_validator(mode="before")
    @classmethod
    def _of_one_link(cls, given: Any) -> Any:
        """Reads an older record, which has only the last link of the chain, with title and variant in one field.

        `apps.agents.planning.chains.Heads.in_full` adds the links before it.
        """
        if not isinstance(given, dict) or "technique" not in given:
            return given
        rest = {name: value for name, value in given.items() if name not in ("technique", "parameters", "title")}
        return {**rest, "steps": (from_joined_title(given["technique"], given["parameters"], given["title"]),)}

    @property
    def wanted(self) -> bool:
        """Whether a member pinned or added it. Predictions do not skip it then."""
        return self.asked is not None and not {EditKind.PINNED, EditKind.ADDED}.isdisjoint(self.asked.kinds)

    @property
    def last(self) -> Application:
        """The last link, after which the candidate is named."""
        return self.steps[-1]

    @property
    def technique(self) -> str:
        return self.last.technique

    @property
    def parameters(self) -> dict[str, Any]:
        return self.last.parameters

    @property
    def title(self) -> str:
        return title_of(self.steps)

    def applies(self, technique: str) -> bool:
        """Whether `technique` is one of its links, and not one that may be skipped."""
        return any(link.technique == technique and not link.optional for link in self.steps)

    @property
    def essential_links(self) -> Chain:
        """The links before the last one that make another network."""
        return tuple(link for link in self.steps[:-1] if link.essential)


class Omission(Value):
    """A technique or variant that the plan leaves out, and why."""

    technique: str
    """The technique's name, or a framework's name, such as `PyTorch`, for all its techniques that cannot be used."""
    title: str
    reason: str


class Plan(Value):
    """Which candidates to try in which order, what each should gain, what was left out and why."""

    summary: str
    candidates: tuple[CandidateRecord, ...]
    omitted: tuple[Omission, ...]
    edits: tuple[EditOutcome, ...] = ()
    """What became of each edit that a member made before the start."""
    nearest: Foreseen | None = None
    """The point whose prediction comes nearest to the limits, if no candidate can hold all of them."""
    shared: tuple[PlannedStep, ...] = ()
    """The steps that are taken once, and not for one candidate alone. Empty in older plans."""

    def minutes(self, candidates: int) -> float:
        """The predicted minutes of the whole session if `candidates` of the plan are tried."""
        tried = (one.predicted.minutes or 0.0 for one in self.candidates[:candidates])
        return sum(one.minutes for one in self.shared) + sum(tried)


class AgentDecision(Value):
    """One decision of an agent: an audit event. `key` is unique in the session, so repeating it does not record it
    again."""

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
    """How much certainty the choice among several candidates cost."""

    tried: int
    """How many candidates were measured on the validation part."""
    choosing_examples: int
    """How many examples the validation part has."""
    finalists: tuple[str, ...]
    """The keys of the finalists, the highest ranked first."""
    earlier: int = 0
    """How many candidates were judged on the same examples in the sessions that this one continues."""
    judged: int
    """How many of them were judged."""
    judging_examples: int
    """How many test examples judged them. These played no part in the choice."""
    sharing: int
    """How many finalists shared the member's chance of error at the time of this result."""
    confidence: float
    """The confidence of each interval when that many share it."""
    margin_alone: float | None = None
    """Half the interval of the drop if only one candidate had been judged; `None` if the drop is exact."""
    margin: float | None = None
    """Half the interval of the drop as it was judged."""
    unit: str = "points"
    contest: Contest | None = None
    """The winner's drop, corrected for the luck of having come out best."""
    sentence: str
    """All of this in words."""


class Tone(StrEnum):
    """Whether a headline is good news."""

    GOOD = "good"
    """Every constraint is proven, and nothing got worse beyond what the criteria allow of the metric."""
    MIXED = "mixed"
    """Something got better and something else got worse."""
    OPEN = "open"
    """Better as measured, but not proven."""
    NEUTRAL = "neutral"
    """Neither good news nor a warning."""
    BAD = "bad"
    """A limit is violated."""
    UNMEASURED = "unmeasured"
    """Nothing was measured."""
    BUSY = "busy"
    """The machine was too busy for a result."""


class Headline(Value):
    """A verdict in one sentence without a full stop: what got better and what got worse."""

    tone: Tone
    sentence: str


class Verdict(Value):
    """How the session ends."""

    outcome: Outcome
    candidate: str | None = None
    binding: str | None = None
    """The constraint that candidates missed most often, if the original stands."""
    reason: str
    misses: tuple[Miss, ...] = ()
    inconclusive: tuple[str, ...] = ()
    """What is not proven about the delivered candidate, and what would decide it; empty if everything is proven."""
    choice: Choice | None = None
    """`None` if nothing was judged."""
    advice: str | None = None
    """What to do after an undecided session, in sentences."""
    speed_unknown: str | None = None
    """Why the speed of the delivered candidate is not known, in a sentence."""
    taken: Taken | None = None
    """If a member chose the delivered candidate; `None` for the manager's own verdict."""
    nearest: Nearest | None = None
    """If no candidate is delivered: the one that comes nearest to holding every limit, with what is left up to each."""
    timed_runs: int = 0
    """The timed runs of candidates whose speed is not known because the machine was too busy."""
    disturbed_runs: int = 0
    """How many of `timed_runs` do not count because other programs disturbed them."""
    headline: Headline | None = None
    """Written together with the verdict. `apps.agents.session.headline.headline_of` adds one to an older verdict."""


class Closing(Value):
    """How the search ended. It is stored in the `parameters` of the package step when that is requested."""

    verdict: Verdict
    skipped: dict[str, str] = Field(default_factory=dict)
    """By key: why a candidate was never measured."""
    budget: str | None = None
    """A sentence that says which budget was spent, if one was."""
    taking: Taking | None = None
    """The request that led to this package, if a member took another candidate."""
    untried: str | None = None
    """Why the package is delivered without having been tried, in a sentence."""


class Decision(Value):
    """What to do next: start `requests`, show `candidates`, record `events`, delete the files of `unneeded` steps.

    A `verdict` ends the session.
    """

    phase: Phase
    progress: float
    """The share of the expected seconds of work that is done, from 0 to 1. It goes back if more turns out to be
    needed."""
    forecast: Forecast | None = None
    """The work that is left; `None` if nothing is."""
    requests: tuple[StepRequest, ...] = ()
    candidates: tuple[CandidateRecord, ...] = ()
    events: tuple[AgentDecision, ...] = ()
    unneeded: tuple[str, ...] = ()
    """The keys of completed steps whose artifacts the session will not read again."""
    verdict: Verdict | None = None
    failure: tuple[str, str] | None = None
    """Code and sentence if the session cannot continue, for example because the analysis failed."""


class Earlier(Value):
    """What the session that this one continues has left: work that is not done again."""

    session: str
    """Its id."""
    worked_s: float
    """Its own time, with that of the sessions that it continued. The budget of minutes counts it."""
    judged: int
    """How many candidates have been judged on the test part so far. They share the chance of error with further
    ones."""
    made: tuple[str, ...] = ()
    """The keys of the chains (`apps.agents.contracts.chain.key_of`) that it applied."""
    measured: tuple[CandidateRecord, ...] = ()
    """The candidates that it measured on the validation part, as far as the measurements still hold."""
    steps: int = 0
    """How many of its steps can be taken over."""
    gone: bool = False
    """Whether it was deleted since. What was not taken over before is then made and measured again."""


class SessionState(Value):
    """Everything that is known about a session. Steps are in the order in which they were requested."""

    criteria: Criteria
    model: ModelSummary
    student: ModelSummary | None = None
    """The model that a member gave the session to be trained with the original as its teacher."""
    compared: ModelSummary | None = None
    """If the session is a comparison: the version that is compared with the original."""
    edits: PlanEdits = PlanEdits()
    """A member's edits of the plan."""
    dataset: DatasetSummary
    metric: Metric | None = None
    """The data set's primary metric; `None` if it is not known."""
    seed: int
    steps: tuple[StepRecord, ...] = ()
    worked_s: float = 0.0
    """The session's own time, in which at least one of its steps ran, including failed tries."""
    usual_s: dict[str, float] = Field(default_factory=dict)
    """How long steps took lately, by kind, and by `JUDGING` those that judge: of the same model and data if known.
    Waiting for a quiet machine is not included."""
    parallelism: int = 1
    """How many steps may run at the same time: the number of live workers."""
    libraries: tuple[str, ...] = ()
    """The distributions that at least one live worker has installed."""
    disabled_techniques: tuple[str, ...] = ()
    """Techniques that the operators switched off, or that are paused because they keep failing."""
    paused_techniques: dict[str, str] = {}
    """Why those that are paused are, in a sentence."""
    learned: Learned = Learned()
    """What the history says before the plan is made. The plan's step keeps it, and later decisions read it there."""
    earlier: Earlier | None = None
    """What it takes over, if it continues another session."""
