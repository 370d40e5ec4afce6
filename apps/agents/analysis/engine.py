"""What an analysis needs of a model's runtime beyond measuring it: a look inside.

An analysis engine is a backend class, imported by dotted path in the child: `contracts.formats` names one for each
format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.formats import format_spec
from apps.agents.contracts.reports.analysis import Generation, Layer, OperatorSensitivity
from apps.agents.measuring.engine import Engine, Feeds, Run, signed

Tell = Callable[[float, str, float | None], None]
"""Told the share that is done, what is going on, and the seconds that are left."""


@dataclass(frozen=True)
class LayerTime:
    """Milliseconds of one run, and the share of the time in all operators, 0 to 1."""

    time_ms: float
    share: float


@dataclass
class Sensitivity:
    """SQNR in dB by layer name and by operator type. What was not measured is absent; `notes` says why."""

    layers: dict[str, float] = field(default_factory=dict)
    operators: list[OperatorSensitivity] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class AnalysisEngine(Engine, Protocol):
    """A model opened for analysis. Layers carry the names that the techniques' `keep_float_nodes` takes."""

    def layers(self, batches: Sequence[Feeds], examples: int | None = None) -> tuple[Layer, ...]:
        """Every operator with its parameters, bytes of weights and, from the shapes seen in `batches`, its MACs.

        The first of `batches` holds so many `examples`; without it that is the longest first axis of its arrays.
        """
        ...

    def times(self, feeds: Feeds, target: Target) -> Mapping[str, LayerTime]:
        """Where the time of a run goes, by layer; one that has no time of its own is absent."""
        ...

    def sensitivity(
        self, batches: Sequence[Feeds], order: Sequence[str], *, budget_s: float, tell: Tell
    ) -> Sensitivity:
        """What 8 bits in one operator type, then in one layer at a time in this `order`, do to the output."""
        ...

    def generation(self, feeds: Feeds, target: Target) -> Generation | None:
        """How fast a generative language model reads and writes, prompted with the first row of `feeds`."""
        ...

    def modes(self, target: Target) -> Sequence[tuple[str, Run]]:
        """Other ways in which the same runtime may run the same file, by their names; it may fail when it is run."""
        ...

    def hindrances(self, batches: Sequence[Feeds]) -> Mapping[str, str]:
        """Techniques, by name, that find nothing to change in this model's graph, each with the reason, a sentence."""
        ...

    def notes(self) -> tuple[str, ...]:
        """What could not be found out so far, in sentences."""
        ...


def open_analysis_engine(
    format: str,  # noqa: A002 - the contract's word
    model: Path,
    scratch: Path,
    signature: str | None = None,
) -> AnalysisEngine:
    """The analysis engine for the model file at `model`, as `apps.agents.measuring.engine.open_engine` opens it."""
    module, _, name = format_spec(format).analysis_engine.partition(":")
    return cast(AnalysisEngine, getattr(import_module(module), name)(model, scratch, **signed(signature)))
