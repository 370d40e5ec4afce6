"""What an analysis needs from a model's runtime in addition to measuring: layers, their times and their sensitivity.

An analysis engine is a backend class that the child imports by dotted path. `contracts.formats` names one for each
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
"""A callback for progress: the share that is done, a message, and the remaining seconds."""


@dataclass(frozen=True)
class LayerTime:
    """A layer's milliseconds in one run, and its share of the time of all operators, from 0 to 1."""

    time_ms: float
    share: float


@dataclass
class Sensitivity:
    """SQNR in dB by layer name and by operator type. Layers that were not measured are absent, and `notes` says why."""

    layers: dict[str, float] = field(default_factory=dict)
    operators: list[OperatorSensitivity] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class AnalysisEngine(Engine, Protocol):
    """A model opened for analysis. The names of layers are those that the techniques' `keep_float_nodes` takes."""

    def layers(self, batches: Sequence[Feeds], examples: int | None = None) -> tuple[Layer, ...]:
        """Every operator with its parameters, bytes of weights and, from the shapes in `batches`, its MACs.

        The first of `batches` contains `examples` examples; by default, as many as the longest first axis of its
        arrays.
        """
        ...

    def times(self, feeds: Feeds, target: Target) -> Mapping[str, LayerTime]:
        """The time of each layer in a run. A layer without a time of its own is absent."""
        ...

    def sensitivity(
        self, batches: Sequence[Feeds], order: Sequence[str], *, budget_s: float, tell: Tell
    ) -> Sensitivity:
        """The effect on the output of 8 bits in one operator type at a time, then in one layer at a time in `order`."""
        ...

    def generation(self, feeds: Feeds, target: Target) -> Generation | None:
        """How fast a generative language model reads and generates, with the first row of `feeds` as the prompt. `None`
        for other models."""
        ...

    def modes(self, target: Target) -> Sequence[tuple[str, Run]]:
        """Other modes in which the runtime may run the same file, by name. A mode may turn out to fail when it is
        run."""
        ...

    def hindrances(self, batches: Sequence[Feeds]) -> Mapping[str, str]:
        """Techniques, by name, that find nothing to change in this model's graph, each with the reason, a sentence."""
        ...

    def notes(self) -> tuple[str, ...]:
        """What could not be measured so far, in sentences."""
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
