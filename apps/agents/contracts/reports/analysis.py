"""What an analysis found out about the original."""

from __future__ import annotations

from apps.agents.contracts.reports.machine import Machine
from apps.agents.contracts.reports.measurements import Latency, ModeLatency
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.values import Value


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
    """Of one run of `latency.batch_size` examples."""
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
