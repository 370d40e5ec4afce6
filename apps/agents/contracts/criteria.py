"""What a member wants of a session: an objective, hard constraints, a target and a budget.

A `Criteria` is validated once, copied into the session that it starts, and read by every agent. An error of a field
contains the field's path, the value and what would be valid (pydantic's `ValidationError.errors()`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from apps.agents.contracts.dataset_spec import Metric
from apps.agents.contracts.values import Value

HIGHEST_CONFIDENCE = 0.999
USUAL_OUTPUT_DEVIATION = 0.25
"""An R² of 0.94: above what int8 changes in a healthy output, below a head that is off by a third."""
USUAL_RISE, STRICT_RISE = 0.02, 0.005
"""Default limits for metrics without a fixed scale, as shares of the original's value: at most two per cent more error.
Two per cent are about as noticeable as one point of an accuracy near 50 %. Strict is a quarter, rounded."""

_POINTS, _RISE = "max_metric_drop_points", "default_rise"


class Objective(StrEnum):
    LATENCY = "latency"
    SIZE = "size"
    MEMORY = "memory"
    BALANCED = "balanced"


class CountedSize(StrEnum):
    """Which size of a model the objective and the limits on size mean."""

    FILE = "file"
    """The file as it is."""
    COMPRESSED = "compressed"
    """The file as a download transfers it: in DEFLATE or in Zstandard, whichever is smaller. Only here do zeros and
    shared values among the weights count."""
    TFLITE = "tflite"
    """The model exported to TensorFlow Lite with its number types, as an app ships it. A TensorFlow Lite file counts as
    it is."""

    @property
    def subject(self) -> str:
        """What is counted, for sentences: `the compressed file`."""
        return {"file": "the file", "compressed": "the compressed file", "tflite": "the TensorFlow Lite file"}[self]

    @property
    def manner(self) -> str:
        """How it is counted, behind a number: `compressed`; empty for the file as it is."""
        return {"file": "", "compressed": "compressed", "tflite": "as TensorFlow Lite"}[self]

    @property
    def when(self) -> str:
        """The same behind an adjective: ` when compressed`, with a space."""
        return {"file": "", "compressed": " when compressed", "tflite": " as TensorFlow Lite"}[self]


class Device(StrEnum):
    CPU = "cpu"
    CUDA = "cuda"


class Weights(Value):
    """How much each gain counts under the balanced objective: exponents of a weighted geometric mean of the ratios."""

    latency: float = Field(1.0, ge=0, le=10)
    size: float = Field(1.0, ge=0, le=10)
    memory: float = Field(0.0, ge=0, le=10)

    @model_validator(mode="after")
    def _something_must_count(self) -> Self:
        if self.latency + self.size + self.memory == 0:
            raise ValueError("at least one weight must be above 0")
        return self


_ALONE = {
    Objective.LATENCY: Weights(latency=1, size=0, memory=0),
    Objective.SIZE: Weights(latency=0, size=1, memory=0),
    Objective.MEMORY: Weights(latency=0, size=0, memory=1),
}
"""What an objective weighs that is not balanced."""


def _without_removed(limits: Any) -> Any:
    """Limits by name without those that are null, which removes them."""
    given = isinstance(limits, Mapping)
    return {name: limit for name, limit in limits.items() if limit is not None} if given else limits


class Constraints(Value):
    """Limits, all of which an accepted candidate holds. `None` means no limit.

    A drop is that of the session's primary metric, original minus candidate, so a positive number is a loss. It is in
    points for metrics on a fixed scale (top-1, F1, agreement, correlations). Errors, perplexity and likelihoods have no
    fixed scale: their limit is `max_metric_drop_unit`, else `max_metric_drop_relative`, else `default_rise`, else
    `max_metric_drop_points` in the metric's own unit. `loss_limits.for_metric` resolves which one holds when a session
    starts. The relative form is a share of the original's value. Ratios are original over candidate: 2.0 is twice as
    fast or half the size.
    """

    max_metric_drop_points: float | None = Field(1.0, ge=0, le=100)
    max_metric_drop_unit: float | None = Field(None, ge=0, allow_inf_nan=False)
    """In the metric's own unit, for metrics without a fixed scale: the label's unit for errors."""
    max_metric_drop_relative: float | None = Field(None, ge=0, le=1)
    default_rise: float | None = Field(USUAL_RISE, gt=0, le=1)
    """For metrics without a fixed scale, if no other limit is given for them: a share of the original's value. Left out
    beside `max_metric_drop_points`, it is null: those points then count in the metric's own unit."""
    max_group_drop_points: float | None = Field(None, ge=0, le=100)
    """The drop of each group that the data set names, including the worst."""
    metric_limits: Annotated[dict[Metric, Annotated[float, Field(ge=0)]], BeforeValidator(_without_removed)] = Field(
        default_factory=dict
    )
    """The most drop of further metrics of the task, by metric: in points for shares, otherwise in the metric's unit."""
    output_limits: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=200)], Annotated[float, Field(ge=0)]],
        BeforeValidator(_without_removed),
    ] = Field(default_factory=dict)
    """The most drop of further outputs that the data set has labels for, by output: of its metric, in points for
    shares, otherwise in the metric's unit. Such an output need not stay near the original's as well."""
    max_output_deviation: float | None = Field(USUAL_OUTPUT_DEVIATION, ge=0)
    """How far every output other than the judged one may be from the original's: the root of its mean squared error, as
    a share of the standard deviation of the original's output. For integers, truth values and texts: the root of the
    share of values that differ. Outputs without an entry per example are not limited."""
    max_group_drop_unit: float | None = Field(None, ge=0, allow_inf_nan=False)
    """The same in the metric's own unit, for metrics without a fixed scale."""
    max_class_drop_points: float | None = Field(None, ge=0, le=100)
    """Classification: the drop of each class's recall, including the worst."""
    max_latency_ms: float | None = Field(None, gt=0)
    min_speedup: float | None = Field(None, gt=0, le=1000)
    max_size_bytes: int | None = Field(None, gt=0)
    min_size_reduction: float | None = Field(None, gt=0, le=1000)
    max_memory_bytes: int | None = Field(None, gt=0)

    def __hash__(self) -> int:
        """Of all limits, so that constraints can be keys although those on metrics are a mapping."""
        by_name = ("metric_limits", "output_limits")
        plain = {name: getattr(self, name) for name in type(self).model_fields if name not in by_name}
        return hash((*plain.values(), *(frozenset(getattr(self, name).items()) for name in by_name)))

    @model_validator(mode="before")
    @classmethod
    def _points_alone_mean_the_unit(cls, body: Any) -> Any:
        """Criteria from before `default_rise` name their points, and keep their meaning."""
        if isinstance(body, Mapping) and _POINTS in body and _RISE not in body:
            return {**body, _RISE: None}
        return body

    @property
    def drop_limit(self) -> float | None:
        """The absolute limit on the drop, in the metric's own unit or in points. Limits must be resolved."""
        return self.max_metric_drop_points if self.max_metric_drop_unit is None else self.max_metric_drop_unit

    @property
    def group_limit(self) -> float | None:
        """The limit on each group's drop, in the metric's own unit or in points. Limits must be resolved."""
        return self.max_group_drop_points if self.max_group_drop_unit is None else self.max_group_drop_unit

    @property
    def limits_parts(self) -> bool:
        """Whether each group or class has a limit, so that every example is needed."""
        return self.group_limit is not None or self.max_class_drop_points is not None

    def decided_early(self, *, several_outputs: bool) -> bool:
        """Whether clear evidence on the metric may end an evaluation. With a limit on groups, classes, further metrics
        or outputs, every example is used. Limits must be resolved."""
        limited = self.drop_limit is not None or self.max_metric_drop_relative is not None
        outputs = several_outputs and self.max_output_deviation is not None
        further = self.metric_limits or self.output_limits
        return limited and not self.limits_parts and not further and not outputs


class Target(Value):
    """Where the artifact will run. Every latency of the session is measured on it."""

    device: Device = Device.CPU
    threads: int = Field(1, ge=1, le=256)
    batch_size: int = Field(1, ge=1, le=4096)


class Budget(Value):
    minutes: float = Field(30.0, gt=0, le=24 * 60)
    candidates: int = Field(12, ge=1, le=200)


class Criteria(Value):
    """Everything that a member can ask of a session. `confidence` is the level of every interval and test."""

    objective: Objective = Objective.BALANCED
    weights: Weights = Weights()
    constraints: Constraints = Constraints()
    target: Target = Target()
    allowed_techniques: tuple[str, ...] | None = None
    forbidden_techniques: tuple[str, ...] = ()
    required_techniques: tuple[str, ...] = ()
    """Techniques of each of which at least one candidate is measured, even if no gain is predicted. They are tried
    first. A technique that cannot be applied, or that is predicted to break a limit, is still left out, and the report
    says why."""
    budget: Budget = Budget()
    counted_size: CountedSize = CountedSize.FILE
    """Which size the objective and the limits on size mean, for the original and every candidate alike."""
    confidence: float = Field(0.95, ge=0.5, le=HIGHEST_CONFIDENCE)
    accept_inconclusive: bool = True
    """Whether to deliver a candidate whose measured values are within every limit although there are too few examples
    or runs to prove it. The report then says so, and how many more would decide. The measured loss may be at most half
    of the limit, and a loss of more than three limits must be excluded. If off, only a proven candidate is
    delivered."""

    def permits(self, technique: str) -> bool:
        """Whether the criteria allow `technique`."""
        if technique in self.forbidden_techniques:
            return False
        return self.allowed_techniques is None or technique in self.allowed_techniques

    def names(self, technique: str) -> bool:
        """Whether they ask for `technique` by name: to use it, not to avoid it."""
        return technique in self.required_techniques or technique in (self.allowed_techniques or ())

    @property
    def exponents(self) -> Weights:
        """The weights that the objective stands for: a single 1, unless it is balanced."""
        return _ALONE.get(self.objective, self.weights)

    def weighted_gain(self, speedup: float, size_ratio: float, memory_ratio: float) -> float:
        """Weighted geometric mean of the ratios original over candidate under the objective; the original is 1."""
        weights = self.exponents
        total = weights.latency + weights.size + weights.memory
        parts = ((speedup, weights.latency), (size_ratio, weights.size), (memory_ratio, weights.memory))
        return math.exp(sum(weight * math.log(max(ratio, 1e-9)) for ratio, weight in parts if weight > 0) / total)


def merged(body: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """`body` with `overrides` applied. A group such as `constraints` keeps the fields that the overrides
    do not name. Points that replace points count as they would without a default beside them (`default_rise`).
    """
    result = dict(body)
    for name, value in overrides.items():
        inner = result.get(name)
        both = isinstance(inner, Mapping) and isinstance(value, Mapping)
        result[name] = merged(inner, value) if both else value  # type: ignore[arg-type]
    if _POINTS in overrides and _RISE not in overrides:
        result.pop(_RISE, None)
    return result


PROFILES: dict[str, Criteria] = {
    "balanced": Criteria(),
    "smallest": Criteria(objective=Objective.SIZE, constraints=Constraints(min_size_reduction=1.05)),
    "fastest": Criteria(objective=Objective.LATENCY, constraints=Constraints(min_speedup=1.1)),
    "safest": Criteria(
        constraints=Constraints(max_metric_drop_points=0.2, default_rise=STRICT_RISE),
        confidence=0.99,
        accept_inconclusive=False,
    ),
}
"""The profiles that every installation starts with. They become rows that operators can edit."""
