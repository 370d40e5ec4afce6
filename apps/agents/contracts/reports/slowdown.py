"""Why a candidate is slower than predicted, operator by operator."""

from __future__ import annotations

from pydantic import Field

from apps.agents.contracts.values import Value


class OperatorChange(Value):
    """The time that one kind of operator, or one layer, takes in each model: ms per run, for all its nodes together."""

    name: str
    """The operator's name in the runtimes (`Conv → ConvInteger` if another kernel replaced it), or the layer's name in
    the file."""
    original_count: int
    candidate_count: int
    original_ms: float | None
    """0 if the model does not have this operator; `None` if its runtime does not time operators."""
    candidate_ms: float | None
    difference_ms: float | None = Field(description="Candidate minus original: positive is slower.")


class Conversion(Value):
    """Operators that only change the type or layout of numbers, and of which the candidate has more."""

    kind: str
    """The operator's name in the runtime, such as `DequantizeLinear`."""
    original_count: int
    count: int
    ms: float | None
    """Their total time in one run of the candidate; `None` if its runtime does not time operators."""


class Slowdown(Value):
    """The profiles of both models, which show why a candidate is slower than the original, or slower than predicted.

    Times are those of single operators in a profiled run, so they add up to less than the time of a run.
    """

    original_ms: float | None
    """The time of all operators in one run; `None` if the runtime does not time them."""
    candidate_ms: float | None
    operators: tuple[OperatorChange, ...]
    """By kind, the largest growth first. Conversions are separate."""
    layers: tuple[OperatorChange, ...] = ()
    """The layers that grew most, if the candidate's layers have the original's names."""
    conversions: tuple[Conversion, ...] = ()
    hints: tuple[str, ...] = ()
    """The likely causes, one sentence each."""
