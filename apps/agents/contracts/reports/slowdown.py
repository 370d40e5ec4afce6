"""Why a candidate is slower than predicted, operator by operator."""

from __future__ import annotations

from pydantic import Field

from apps.agents.contracts.values import Value


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
