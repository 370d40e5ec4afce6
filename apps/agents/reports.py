"""The reports agents write: what they found, in numbers with their units and intervals.

These shapes are the contract between the workers that measure and the pages, the API and the recipe that show it. They
are stored as JSON and read back with `model_validate`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from apps.agents.scheduling.pressure import Pressure
from apps.agents.values import Value

MOST_WEIGHTS = 2000
UNKNOWN = 1e9
"""Either end of an interval that nothing bounds: JSON has no infinity, and no end at all would mean an exact number."""

# --- what a model is -------------------------------------------------------------------------------------------------


class Quantized(Value):
    """How a file takes or gives real numbers: as whole numbers `q` that stand for `scale * (q - zero_point)`."""

    dtype: str
    scale: float
    zero_point: int


class TensorSpec(Value):
    """One input or output. A dynamic axis is its name (`"batch"`), or `None` where the file gives none."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]
    quantized: Quantized | None = None
    """Where the file itself holds whole numbers in place of the `dtype`; callers convert at its border."""

    def __str__(self) -> str:
        axes = ", ".join("?" if axis is None else str(axis) for axis in self.shape)
        return f"{self.name}: {self.dtype}[{axes}]"


class CodeFile(Value):
    """Code that came with a model, as it was uploaded. It runs in the worker's child only."""

    name: str
    text: str


class LanguageModel(Value):
    """What is known of a model that reads texts, from its folder's configuration."""

    architecture: str
    """The class, such as `LlamaForCausalLM`."""
    generative: bool
    """Whether it predicts the next token."""
    context_length: int | None = None
    """Tokens."""
    vocabulary: int | None = None
    tied_embeddings: bool = False
    """Whether the output head is the embedding table."""
    embedding_parameters: int = 0
    """Of the token table, once."""
    tokenizer: bool = False
    """Whether a tokenizer came with it; without one no text can be fed."""


class Signature(Value):
    """One function of a model that offers several, such as a SavedModel."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class ModelSummary(Value):
    """A model as inspection sees it."""

    format: str
    producer: str
    opset: int | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: int
    size_bytes: int
    operators: dict[str, int]
    weight_dtypes: dict[str, int] = {}
    """Parameters by element type: a model that is quantized already shows here."""
    weights: tuple[TensorSpec, ...] = ()
    """Stored tensors with their shapes, where the format names them; at most `MOST_WEIGHTS`."""
    language: LanguageModel | None = None
    quantization: str | None = None
    """How it says that it was quantized, such as `bitsandbytes nf4`; the `weight_dtypes` alone would not tell."""
    code: tuple[CodeFile, ...] = ()
    signature: str | None = None
    """Which of `signatures` the inputs, outputs, weights and operators are of."""
    signatures: tuple[Signature, ...] = ()
    """Every function that the model offers, where its format has more than one place for them."""
    notes: tuple[str, ...] = ()
    """What inspection found worth saying without refusing the file, each a sentence."""


class Task(StrEnum):
    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    EMBEDDING = "embedding"
    FIDELITY = "fidelity"
    LANGUAGE_MODELING = "language_modeling"
    """Perplexity: how well the next token is predicted."""
    MULTIPLE_CHOICE = "multiple_choice"
    """The likeliest of several continuations, or the last word, by log-likelihood."""


class Part(StrEnum):
    """What candidates are measured on."""

    CHOOSING = "choosing"
    """Ranks them. Whoever comes out best here has been lucky, too."""
    EVALUATION = "evaluation"
    """Judges the few that ranked highest: nothing was tuned or chosen by these examples."""


class TextExcerpt(Value):
    """One example of texts, each cut short where it is long; of a choice the context and then every choice."""

    texts: tuple[str, ...]
    label: int | float | None = None


class LabelNumbers(Value):
    """The whole numbers that stand for classes in a file."""

    low: int
    high: int
    distinct: int


class DatasetSummary(Value):
    """A data set as inspection sees it: its size, its arrays or images, its labels."""

    kind: str
    """`npz`, `images`, `table` or `text`."""
    task: Task
    examples: int
    inputs: tuple[TensorSpec, ...]
    """What each example offers, batch axis first and named `"N"`."""
    labels: TensorSpec | None = None
    """As they stand in the file."""
    label_numbers: LabelNumbers | None = None
    """Of a classification whose file has numbers for classes; `apps.agents.class_numbers` says which class each is."""
    classes: tuple[str, ...] = ()
    """Names by class number: the member's own, the folders', or what the file says for each class."""
    size_bytes: int = 0
    notes: tuple[str, ...] = ()
    """What the full check found odd without refusing it, each a sentence: duplicates, rare classes."""
    class_counts: dict[str, int] = {}
    """Examples by class, where the full check has counted them."""
    groups: dict[str, int] = {}
    """Examples by group, where the data set names groups."""
    characters: int | None = None
    """Of all texts, where the examples are texts."""
    excerpts: tuple[TextExcerpt, ...] = ()
    """The first examples, where they are texts."""


# --- analysis --------------------------------------------------------------------------------------------------------


class Machine(Value):
    """Where a measurement was made."""

    hostname: str
    cpu: str
    cores: int
    memory_bytes: int
    flags: tuple[str, ...]
    """The instruction sets that matter here, such as `avx2`, `avx512_vnni`, `amx_int8`."""
    accelerators: tuple[str, ...] = ()
    system: str
    python: str
    libraries: dict[str, str]


class Latency(Value):
    """One model timed alone."""

    p50_ms: float
    p95_ms: float
    throughput_per_s: float
    """Examples a second at this batch size."""
    runs: int
    batch_size: int
    threads: int


class ModeLatency(Value):
    """The same file in another mode of the same runtime, such as compiled; no candidate is held against it."""

    name: str
    latency: Latency


class Layer(Value):
    """One operator of the graph. Unknown stays `None`; it never becomes 0."""

    name: str
    op_type: str
    parameters: int
    weight_bytes: int
    macs: int | None = None
    """Multiply-accumulates of one example."""
    depthwise: bool = False
    """A convolution with a filter of its own for each channel: 8 bits gain little there."""
    time_ms: float | None = None
    time_share: float | None = None
    sqnr_db: float | None = None
    """Signal-to-quantization-noise ratio at the model's output when only this layer is quantized; higher is safer."""


class OperatorSensitivity(Value):
    """What quantizing every operator of one type, and nothing else, does to the model's output."""

    op_type: str
    count: int
    sqnr_db: float


class Generation(Value):
    """How fast a language model reads a prompt and writes after it, one sequence at a time."""

    prompt_tokens: int
    prefill_ms: float
    """Reading the prompt, median."""
    decode_ms_per_token: float
    """One more token with what was read cached, median."""
    tokens_per_s: float
    """Tokens written a second."""


class Opportunity(Value):
    technique: str
    title: str
    expected_speedup: float
    expected_size_ratio: float
    reason: str


class Compatibility(Value):
    technique: str
    compatible: bool
    reason: str


class AnalysisReport(Value):
    model: ModelSummary
    machine: Machine
    latency: Latency
    peak_memory_bytes: int
    layers: tuple[Layer, ...]
    operator_sensitivity: tuple[OperatorSensitivity, ...]
    opportunities: tuple[Opportunity, ...]
    compatibility: tuple[Compatibility, ...]
    calibration_examples: int
    suspicions: tuple[str, ...] = ()
    """Why the data set may not be this model's, each a sentence."""
    notes: tuple[str, ...] = ()
    generation: Generation | None = None
    """Of a generative language model in its own framework; of others it stays unknown."""
    modes: tuple[ModeLatency, ...] = ()
    """What else the runtime can make of the file."""
    batch_axes: dict[str, int] = {}
    """The axis of examples of inputs where running the model showed another one than the data set was bound with."""


# --- evaluation ------------------------------------------------------------------------------------------------------


class Estimate(Value):
    """A number with its interval at the session's confidence; no interval where the number is exact."""

    value: float
    low: float | None = None
    high: float | None = None

    def includes(self, number: float) -> bool:
        """Whether `number` lies in the interval; of an exact number, whether it is that number."""
        low = self.value if self.low is None else self.low
        high = self.value if self.high is None else self.high
        return low <= number <= high

    def negated(self) -> Estimate:
        """The same with the other sign."""
        low, high = (None if end is None else 0.0 - end for end in (self.high, self.low))
        return Estimate(value=0.0 - self.value, low=low, high=high)


class Holds(StrEnum):
    HOLDS = "holds"
    VIOLATED = "violated"
    INCONCLUSIVE = "inconclusive"


class ConstraintVerdict(Value):
    """One constraint against its measurement.

    `margin` is how far on the good side of `limit` the measurement lies, in the constraint's unit: negative is how much
    it missed by. An inconclusive verdict says in `to_decide` how many more examples or runs would settle it.
    """

    constraint: str
    """The field of `Constraints`."""
    limit: float = Field(description="Of a drop: the largest that is allowed, a positive number.")
    measured: Estimate = Field(description="Of a metric: its drop, so that a positive number is a loss.")
    unit: str
    status: Holds
    margin: float
    sentence: str
    to_decide: str | None = None


class MetricComparison(Value):
    """The same examples through both models. Shares (top-1, F1, agreement) are in per cent, differences in points."""

    metric: str
    label: str
    unit: str
    higher_is_better: bool
    original: Estimate
    candidate: Estimate
    drop: Estimate = Field(
        description="Original minus candidate when higher is better, else candidate minus original: positive is a loss."
    )
    test: str
    """`mcnemar` or `paired_bootstrap`."""
    p_value: float
    lost: int | None = None
    """Of a metric of right and wrong: examples that only the original gets right."""
    won: int | None = None
    """And those that only the candidate does."""

    @property
    def change(self) -> Estimate:
        """Candidate minus original, as pages and sentences show it: negative is lower."""
        return self.drop.negated() if self.higher_is_better else self.drop

    @property
    def unchanged(self) -> bool:
        """Whether chance explains the change: its interval includes 0."""
        return self.drop.includes(0.0)


class ClassComparison(Value):
    label: str
    examples: int
    original_recall: float
    candidate_recall: float
    p_corrected: float | None = None
    """McNemar's test on its examples, corrected for the number of classes (Holm)."""


class GroupComparison(Value):
    """One group of examples through both models."""

    group: str
    examples: int
    drop: Estimate
    """As `MetricComparison.drop`, of the examples of the group."""
    simultaneous: Estimate
    """The same with an interval that holds for all groups at once (Bonferroni)."""
    p_value: float
    p_corrected: float
    """For the number of groups (Holm)."""


class FindingKind(StrEnum):
    GROUP = "group"
    """A group that loses."""
    CLASS = "class"
    """A class whose recall falls."""
    CHURN = "churn"
    """Many changed predictions behind a small drop."""


class Finding(Value):
    """Something beyond chance that no verdict says."""

    kind: FindingKind
    subject: str
    """The group or the class."""
    sentence: str
    p_value: float
    """Corrected for how many of its kind were looked at."""


class Flips(Value):
    """How single predictions changed, on labelled classification."""

    both_right: int
    both_wrong: int
    lost: int
    """The original was right, the candidate is wrong."""
    won: int
    changed: int
    """Predictions that differ, right or wrong."""


class Fidelity(Value):
    """How close the candidate's outputs are to the original's, whatever the labels say."""

    sqnr_db: float
    cosine: float
    max_abs_error: float
    mean_abs_error: float
    agreement: Estimate | None = None
    """Share of equal top-1 predictions in per cent, where the output is a class."""


class LatencyComparison(Value):
    """Interleaved blocks of both models on one machine. Ratios are original over candidate: above 1 is faster.

    All but `cpu_speedup` is of undisturbed runs. Where the machine was too `busy` for enough of them, the speed-up is
    not known: its value is a guess, by CPU time where that is known, and its interval has no bounds.
    """

    original: Latency
    candidate: Latency
    speedup: Estimate
    control: Estimate
    """The original against itself, measured the same way: how far from 1 noise alone reaches."""
    blocks: int
    """Rounds that count, in all processes."""
    runs_per_block: int
    warmup_runs: int
    original_blocks_ms: tuple[float, ...] = ()
    candidate_blocks_ms: tuple[float, ...] = ()
    candidate_p50_ms: Estimate | None = None
    """The candidate's median run with its interval; reports from before it was kept have blocks only."""
    runs: int = 0
    """Timed runs of all three contenders."""
    disturbed: int = 0
    """How many of them did not count, because something else took the core."""
    busy: bool = False
    """Whether so many were disturbed that the speed-up is not known."""
    processes: int = 1
    """Fresh processes that the intervals are over; 1 where both models ran in one."""
    cpu_speedup: Estimate | None = None
    """The same ratio by CPU time of all runs, which a busy machine hardly moves. Of one thread only."""
    priority: str = ""
    """What the scheduler granted the timing, in words."""
    pressure: Pressure | None = None
    """What others and the host took of the cores while timing, in the process that was held up most."""
    timed_by: str = ""
    """The clock, in words, where it is not the host's: a device's events, and the rates it ran at."""
    waited_s: float = 0.0
    """Seconds waited for a quiet moment before timing."""


class Pair(Value):
    """An exact quantity of both models and original over candidate."""

    original: float
    candidate: float
    ratio: float


class RuntimeBaseline(Value):
    """The float model in another runtime than the original's: what candidates made of that export are held against.

    Ratios are original over the float model there.
    """

    runtime: str
    """Its name, such as `LiteRT`."""
    speedup: float
    size_ratio: float
    in_turns: bool
    """Whether it was measured beside the original, in turns; else each alone, by its analysis."""


class Gains(Value):
    """What of a candidate's gain is its runtime's and what its technique's: the products are the whole.

    Without a `technique` the candidate is the float model itself in the other runtime.
    """

    runtime: str
    runtime_speedup: float
    runtime_size_ratio: float
    technique: str | None = None
    """Its label."""
    technique_speedup: float = 1.0
    technique_size_ratio: float = 1.0
    in_turns: bool = True
    """As of `RuntimeBaseline`."""


class PairedOutcomes(Value):
    """What each example adds to the drop of the primary metric, kept small: the mean over all examples is the drop.

    Where each is right or wrong, the places of those that only one model gets right; else `differences`, float16 in
    base64, times `scale`.
    """

    examples: int
    lost: tuple[int, ...] = ()
    won: tuple[int, ...] = ()
    differences: str | None = None
    scale: float = 100.0
    """What one lost example counts, in the unit of the drop; else what the largest difference is."""
    order: str = ""
    """Outcomes of two candidates belong to the same examples where this is equal."""


class Level(Value):
    """The limits on the metric held against the interval at one confidence.

    Finalists share the chance of error; whoever is left when some are proven has more of it (Holm 1979).
    """

    sharing: int
    """How many finalists share it."""
    confidence: float
    drop: Estimate
    constraints: tuple[ConstraintVerdict, ...]
    """Those on the metric."""


LUCK_NOTICED = 0.1
"""As a share of the drop."""


class Corrected(Value):
    """The drop of whoever comes out best, and what of it is left once the luck of having come out best is taken off."""

    candidate: str
    among: int
    plain: float
    corrected: float
    unit: str

    @property
    def lucky(self) -> bool:
        """Whether having come out best flattered the numbers by more than resampling's own noise."""
        return self.corrected - self.plain > LUCK_NOTICED * max(abs(self.plain), abs(self.corrected))


class Contest(Value):
    """What a choice among several candidates made of the numbers of the one that came out best."""

    choosing: Corrected | None = None
    """What ranking alone would have claimed."""
    evaluation: Corrected | None = None
    """Where several finalists were judged."""
    note: str = ""
    """Why there is no correction, where there is none."""


class OperatorChange(Value):
    """What one kind of operator, or one layer, takes in either model: milliseconds of one run, all of its nodes."""

    name: str
    """The operator as the runtimes call what they ran, `Conv → ConvInteger` where another kernel took its place; of a
    layer its name in the file."""
    original_count: int
    candidate_count: int
    original_ms: float | None
    """0 where the model has none; `None` where its runtime times no operators."""
    candidate_ms: float | None
    difference_ms: float | None = Field(description="Candidate minus original: positive is slower.")


class Conversion(Value):
    """Operators that change the type or the layout of numbers and compute nothing, where the candidate has more."""

    kind: str
    """As the runtime calls it, such as `DequantizeLinear`."""
    original_count: int
    count: int
    ms: float | None
    """All of them together in one run of the candidate; `None` where its runtime times no operators."""


class Slowdown(Value):
    """Why a candidate is slower than the original, or gains less than predicted: the profiles of both.

    Times are of single operators in a profiled run, so that they add up to less than a run takes.
    """

    original_ms: float | None
    """All operators of one run; `None` where the runtime times none."""
    candidate_ms: float | None
    operators: tuple[OperatorChange, ...]
    """By kind, what grew most first; conversions are told apart."""
    layers: tuple[OperatorChange, ...] = ()
    """Those that grew most, where the candidate has layers by the original's names."""
    conversions: tuple[Conversion, ...] = ()
    hints: tuple[str, ...] = ()
    """What the tables say, each a sentence."""


class EvaluationReport(Value):
    """Original and candidate side by side.

    `implausible` lists gains beyond what the bits allow, each as a sentence: such a candidate is never accepted.
    """

    task: Task
    part: Part = Part.EVALUATION
    """What it was measured on."""
    examples: int
    """That were used."""
    examples_of_part: int | None = None
    """How many there are; more than were used where the evidence was clear before."""
    judging_examples: int | None = None
    """How many the evaluation part has."""
    levels: tuple[Level, ...] = ()
    """Of a finalist: the limits on the metric at each share of the chance of error, the strictest first."""
    outcomes: PairedOutcomes | None = None
    """`None` where the metric is not a mean over examples."""
    contest: Contest | None = None
    """Of a finalist: what was found once it was measured."""
    outputs_s: float | None = None
    """How long the examples took to pass through both models."""
    metrics: tuple[MetricComparison, ...]
    """The first is the primary one, which the constraints speak of."""
    fidelity: Fidelity
    flips: Flips | None = None
    classes: tuple[ClassComparison, ...] = ()
    groups: tuple[GroupComparison, ...] = ()
    """Where the data set names groups; those that lose most first."""
    group_metric: str | None = None
    """What `groups` compares: the primary metric, or what stands in for one that has no groups."""
    findings: tuple[Finding, ...] = ()
    """What the verdicts do not say."""
    latency: LatencyComparison
    size_bytes: Pair
    peak_memory_bytes: Pair
    constraints: tuple[ConstraintVerdict, ...]
    implausible: tuple[str, ...] = ()
    gains: Gains | None = None
    """Told apart where the candidate runs elsewhere than the original."""
    slowdown: Slowdown | None = None
    """Looked for where the candidate is hardly faster, or much less than predicted."""
    verdict: Holds
    confidence: float
    machine: Machine
    notes: tuple[str, ...] = ()

    @property
    def primary(self) -> MetricComparison:
        return self.metrics[0]


class OptimizationResult(Value):
    """What one optimize step made."""

    technique: str
    parameters: dict[str, Any]
    size_bytes: int
    input_size_bytes: int
    digest: str
    """SHA-256 of the artifact."""
    libraries: dict[str, str]
    seed: int
    checks: tuple[str, ...]
    """The validations that passed, one sentence each."""
    sizes: dict[str, int] = {}
    """Bytes of the artifact in other forms (zipped, as TensorFlow Lite), where a technique's gain shows there alone."""
    model: ModelSummary | None = None
    """The artifact as inspection sees it, without the list of its weights: what promotes it need not open it again."""
