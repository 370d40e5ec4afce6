"""What one technique's spec knows of it: the shape, with defaults that do for any technique."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apps.agents.techniques.knowledge.grid import searched, value_text, walk
from apps.agents.techniques.knowledge.kernels import KernelRule
from apps.agents.techniques.knowledge.profile import GraphProfile, Node
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec

Parameters = Mapping[str, Any]
_NUMBER_TYPES = ("activation_type", "weight_type", "bits", "type", "dtype")
"""Parameters that choose a number type."""
_SCOPE = ("operators", "keep_float_operators", "keep_float_nodes", "embeddings", "bits", "type", "group_size")
"""Parameters that say what is quantized how finely."""


@dataclass(frozen=True)
class Baseline:
    """A plain technique that a clever one has to beat, and so is measured beside it."""

    technique: str
    label: str
    """The plain one's, in words: `plain rounding`."""
    done: str
    """What was done to its candidate: `rounded to the nearest at the same bits`."""
    effort: str
    """What the clever one adds: `calibration`."""
    alike: Callable[[Parameters], Hashable]
    """Of parameters, what must be the same for the two to be compared."""


@dataclass(frozen=True)
class Superseded:
    """Another technique does the same better: this one is tried only where that is not there, or where it is named."""

    by: str
    reason: str


@dataclass(frozen=True)
class NotTried:
    """A part of its grid that a technique leaves out wherever it is tried, and why."""

    title: str
    reason: str


@dataclass(frozen=True)
class Cut:
    """A variant that leaves so much out that the model has to be trained again."""

    parameters: Mapping[str, Any]
    removed: float
    """The share of the work, and about that of the weights, that is gone."""
    lost_points: float
    """Of a metric in per cent, after a short training."""


@dataclass(frozen=True)
class TechniqueKnowledge:
    """What planning knows of a technique. As it stands it does for any: the spec's expectation and its searched values.

    Override what is known better. A quantization whose numbers follow from the model is a `QuantizationKnowledge`.
    """

    prepared_by: str | None = None
    """The technique whose result it starts from, where that may be used; made once for all that name it."""
    tried_anyway: bool = False
    """Whether it is tried whatever is predicted, because it is cheap and does no harm."""
    makes_halves: bool = False
    """Whether it wins nothing where weights are in half precision already."""
    superseded: Superseded | None = None
    baseline: Baseline | None = None
    not_tried: tuple[NotTried, ...] = ()
    cuts: tuple[Cut, ...] = ()
    """Variants of it that are only tried with a training behind them, the gentlest first."""
    forbids: tuple[tuple[str, str], ...] = ()
    """Families of techniques that may not follow it, each with the reason. After a quantization none may."""

    @property
    def predicts(self) -> bool:
        """Whether speed, size and loss follow from the model; otherwise the expectation stands for every model."""
        return False

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        """The variants worth a thought for this form of the model: by default those of the values to search."""
        for parameters in walk(spec.parameters):
            yield Variant(spec.name, parameters, spec.summary)

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        """What tells a variant from its siblings, for its title, besides what stays in float."""
        return [value_text(one, parameters.get(one.name, one.default)) for one in searched(spec.parameters)]

    def operators(self, spec: TechniqueSpec, parameters: Parameters, profile: GraphProfile) -> frozenset[str]:
        """The operator types that it changes."""
        return frozenset(spec.acts_on) or profile.operators

    def reaches(self, node: Node) -> bool:
        """Whether it changes this node of such a type."""
        return True

    def training(self, minutes: float) -> Parameters | None:
        """Its parameters to learn again in so many minutes what was lost; `None` where it does not train for that."""
        return None

    def number_types(self, parameters: Parameters) -> tuple[str, ...] | None:
        """The choice of number types, of which several are measured; `None` where it makes none."""
        return None

    def scope(self, parameters: Parameters) -> Hashable:
        """What two variants must have in common for one's loss to say something of the other's."""
        return _plain(parameters)


@dataclass(frozen=True)
class QuantizationKnowledge(TechniqueKnowledge, ABC):
    """Of a technique that stores numbers in fewer bits: its numbers follow from the operators that it changes."""

    kernels: tuple[KernelRule, ...] = ()
    """How much faster operators run, the first rule that fits; what has none runs as fast as before."""

    @property
    def predicts(self) -> bool:
        return True

    @abstractmethod
    def bytes_left(self, parameters: Parameters, node: Node) -> float:
        """Bytes of a changed weight against those that it takes now, scales included."""

    @abstractmethod
    def noise_scale(self, parameters: Parameters) -> float:
        """Noise against that of 8 bits with fixed ranges, which the sensitivity analysis measures."""

    @property
    def narrows_all(self) -> bool:
        """Whether no weight of the file stays as it is."""
        return False

    def weight_type(self, parameters: Parameters) -> str | None:
        """The number type of the weights as `kernels` call it."""
        weight = parameters.get("weight_type") or parameters.get("type") or parameters.get("dtype")
        return str(weight) if weight is not None else None

    def nats(self, parameters: Parameters) -> float | None:
        """What a language model loses with every layer changed, in nats per token; `None` where nobody measured it."""
        return None

    def seen(self, parameters: Parameters, profile: GraphProfile) -> frozenset[str] | None:
        """Operator types on which its noise was measured; `None` where all that is known is of whole models."""
        return profile.operators

    def fragile(self, profile: GraphProfile) -> tuple[str, ...]:
        """Operator types that explain a predicted collapse, and that other variants leave in float."""
        return ()

    def number_types(self, parameters: Parameters) -> tuple[str, ...] | None:
        return tuple(str(parameters[name]) for name in _NUMBER_TYPES if name in parameters)

    def scope(self, parameters: Parameters) -> Hashable:
        return _plain({name: parameters.get(name) for name in _SCOPE})


def _plain(parameters: Parameters) -> Hashable:
    """The parameters as one value that can be compared; the order of names in a list says nothing."""
    return tuple(
        (name, tuple(sorted(value)) if isinstance(value, list | tuple) else value)
        for name, value in sorted(parameters.items())
    )
