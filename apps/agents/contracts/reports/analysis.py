"""The findings of an analysis of the original."""

from __future__ import annotations

from apps.agents.contracts.reports.machine import Machine
from apps.agents.contracts.reports.measurements import Latency, ModeLatency
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.values import Value


class Layer(Value):
    """One operator of the graph. An unknown value is `None`, never 0."""

    name: str
    op_type: str
    parameters: int
    weight_bytes: int
    macs: int | None = None
    """Multiply-accumulate operations for one example."""
    depthwise: bool = False
    """Whether it is a convolution with a separate filter for each channel, which gains little from 8 bits."""
    time_ms: float | None = None
    time_share: float | None = None
    channel_spread: float | None = None
    """The range of the weights of a large output channel (90th percentile) over that of a small one (10th). `None` for
    layers without stored weights."""
    sqnr_db: float | None = None
    """Signal-to-quantization-noise ratio at the model's output if only this layer is quantized. Higher is safer."""


class OperatorSensitivity(Value):
    """The noise at the model's output if all operators of one type are quantized, and no others."""

    op_type: str
    count: int
    sqnr_db: float


class Generation(Value):
    """How fast a language model reads a prompt and generates tokens, one sequence at a time."""

    prompt_tokens: int
    prefill_ms: float
    """The median time to read the prompt."""
    decode_ms_per_token: float
    """The median time to generate one token with the earlier ones cached."""
    tokens_per_s: float
    """Generated tokens per second."""


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
    """The peak of one run with `latency.batch_size` examples."""
    layers: tuple[Layer, ...]
    operator_sensitivity: tuple[OperatorSensitivity, ...]
    opportunities: tuple[Opportunity, ...]
    compatibility: tuple[Compatibility, ...]
    calibration_examples: int
    suspicions: tuple[str, ...] = ()
    """Reasons to doubt that the data set belongs to this model, one sentence each."""
    notes: tuple[str, ...] = ()
    generation: Generation | None = None
    """Only for a generative language model in its own framework."""
    modes: tuple[ModeLatency, ...] = ()
    """Latencies of the same file in other modes of the runtime."""
    batch_axes: dict[str, int] = {}
    """By input: the axis of examples that running the model showed, if it is not the one that was assumed."""
