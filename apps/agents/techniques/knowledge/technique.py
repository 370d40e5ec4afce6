"""The base classes for knowledge about one technique, with defaults that work for any."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.measuring.machine_class import MachineClass
from apps.agents.techniques.knowledge.cost import Cost, CostFacts, CostRule, usual_rule
from apps.agents.techniques.knowledge.grid import searched, value_text, walk
from apps.agents.techniques.knowledge.kernels import KernelRule
from apps.agents.techniques.knowledge.profile import GraphProfile, Node
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec

Parameters = Mapping[str, Any]
_NUMBER_TYPES = ("activation_type", "weight_type", "bits", "type", "dtype")
"""The parameters that choose a number type."""
_SCOPE = ("operators", "keep_float_operators", "keep_float_nodes", "embeddings", "bits", "type", "group_size")
"""The parameters that determine what is quantized, and how finely."""


@dataclass(frozen=True)
class Baseline:
    """A plain technique that a clever one has to beat. It is measured as well, for comparison."""

    technique: str
    label: str
    """The plain technique in words: `plain rounding`."""
    done: str
    """What was done to its candidate: `rounded to the nearest at the same bits`."""
    effort: str
    """What the clever technique adds: `calibration`."""
    alike: Callable[[Parameters], Hashable]
    """Maps parameters to a value that must be equal for the two to be compared."""


@dataclass(frozen=True)
class Superseded:
    """Another technique does the same better. This one is tried only if that is not available, or if the criteria name
    this one."""

    by: str
    reason: str


@dataclass(frozen=True)
class NotTried:
    """A part of its grid that a technique always leaves out, and why."""

    title: str
    reason: str


@dataclass(frozen=True)
class Cut:
    """A variant that removes so much that the model has to be trained again."""

    parameters: Mapping[str, Any]
    removed: float
    """The share of the work that is removed, and roughly that of the weights."""
    lost_points: float
    """Of a metric in per cent, after a short training."""
    basis: str = "The cut's numbers are those of a residual network on small images."
    """Where the numbers come from."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """How such a model has to be trained: parameters for the training technique, which ignores unknown ones."""
    examples: int = 0
    """The fewest examples to train on with which it is tried."""
    passes: float = 0.0
    """How often the training has to pass over the examples."""
    long: bool = False
    """Whether it gets most of a session's minutes."""


@dataclass(frozen=True)
class Outlook:
    """The predicted effect of a technique that is not a quantization. Ratios are original over candidate."""

    speedup: float
    size_ratio: float
    metric_drop_points: float
    metric_drop_high: float
    """The loss to expect at worst."""
    basis: str
    """Where the numbers come from, without a full stop."""
    compressed_ratio: float | None = None
    """The ratio of the compressed files, if it is not that of the files."""


@dataclass(frozen=True)
class TechniqueKnowledge:
    """What planning knows about a technique. The defaults work for any: the spec's expectation and its searched values.

    Override what is known better. A quantization whose numbers follow from the model is a `QuantizationKnowledge`.
    """

    prepared_by: str | None = None
    """The technique from whose result it starts, if that may be used. It is applied once for all that name it."""
    tried_anyway: bool = False
    """Whether it is always tried, because it is cheap and harmless."""
    makes_halves: bool = False
    """Whether it does not gain anything if weights are in half precision already."""
    only_compressed: bool = False
    """Whether it is left out unless the compressed size counts or the criteria name it: even behind an export that
    gains something, it adds nothing else."""
    superseded: Superseded | None = None
    baseline: Baseline | None = None
    not_tried: tuple[NotTried, ...] = ()
    cuts: tuple[Cut, ...] = ()
    """Variants of it that are only tried with a training behind them, the gentlest first."""
    cost_rule: CostRule | None = None
    """How long applying it takes; `None` is what techniques of its family take."""
    forbids: tuple[tuple[str, str], ...] = ()
    """Families of techniques that may not follow it, each with the reason. No technique may follow a quantization."""
    one_at_a_time: bool = False
    """Whether each of its candidates is measured before the next is made: it takes long, its loss is uncertain, and
    what one loses tells which other is worth trying."""
    hands_on_to: tuple[str, ...] = ()
    """Families of techniques that are also applied to its result, because their gains multiply."""
    searches: bool = False
    """Whether it spends minutes of its own on finding what to cut, before the training behind it."""
    in_stages: bool = False
    """Whether a session shares its search out among workers, in steps of their own."""
    best_tried: int = 1
    """How many of the best networks that it finds become candidates, if minutes and candidates suffice. It then has a
    parameter `place` that says which."""
    hands_on_over: tuple[str, ...] = ()
    """Families of techniques of which one may come between it and those that it hands on to."""

    def searches_with(self, parameters: Parameters) -> bool:
        """Whether these parameters leave something to search."""
        return self.searches

    @property
    def predicts(self) -> bool:
        """Whether speed, size and loss follow from the model. If not, the expectation is used for every model."""
        return False

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        """The variants to consider for this form of the model; by default, all combinations of the values to search."""
        for parameters in walk(spec.parameters):
            yield Variant(spec.name, parameters, spec.summary)

    def cost(self, spec: TechniqueSpec, parameters: Parameters, facts: CostFacts) -> Cost:
        """How long one application with these complete parameters takes; it tells, and decides nothing."""
        rule = self.cost_rule or usual_rule(spec.family, spec.needs_calibration)
        return rule.cost(parameters, facts)

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        """How a variant differs from others, for its title, without what stays in float."""
        return [value_text(one, parameters.get(one.name, one.default)) for one in searched(spec.parameters)]

    def outlook(self, parameters: Parameters, profile: GraphProfile) -> Outlook | None:
        """The predicted effect on this form of the model; `None` if only the spec's expectation is known."""
        return None

    def operators(self, spec: TechniqueSpec, parameters: Parameters, profile: GraphProfile) -> frozenset[str]:
        """The operator types that it changes."""
        return frozenset(spec.acts_on) or profile.operators

    def reaches(self, node: Node) -> bool:
        """Whether it changes this node, whose type is one of `operators`."""
        return True

    def profile_after(self, parameters: Parameters, profile: GraphProfile) -> GraphProfile:
        """The form of the model as later techniques find it, which what they lose is predicted from."""
        return profile

    def suits_behind(self, parameters: Parameters, later: str, chosen: Parameters) -> bool:
        """Whether the technique `later` with the parameters `chosen` is worth trying behind it, of those in
        `hands_on_to`."""
        return True

    def cuts_suit(self, profile: GraphProfile) -> bool:
        """Whether its `cuts` may be tried on this form of the model."""
        return True

    def training(self, minutes: float) -> Parameters | None:
        """Its parameters to learn again in so many minutes what was lost; `None` where it does not train for that."""
        return None

    def why_not(self, model: ModelSummary) -> str | None:
        """Why it cannot be applied to a model in a format that it takes, in a sentence; `None` if nothing shows it."""
        return None

    def number_types(self, parameters: Parameters) -> tuple[str, ...] | None:
        """The chosen number types; `None` if it does not choose any. Several choices are measured."""
        return None

    def scope(self, parameters: Parameters) -> Hashable:
        """A value that is equal for two variants if the loss of one is evidence for the loss of the other."""
        return _plain(parameters)

    def suited(self, parameters: Parameters, machine: MachineClass) -> tuple[Parameters, str]:
        """`parameters` with what they leave open and this class of machine needs, and why in a sentence; empty if it
        needs nothing."""
        return parameters, ""


@dataclass(frozen=True)
class QuantizationKnowledge(TechniqueKnowledge, ABC):
    """Knowledge about a technique that stores numbers in fewer bits. Predictions follow from the operators it
    changes."""

    kernels: tuple[KernelRule, ...] = ()
    """How much faster operators run. The first rule that fits applies; operators without a rule run as fast as
    before."""

    @property
    def predicts(self) -> bool:
        return True

    @abstractmethod
    def bytes_left(self, parameters: Parameters, node: Node) -> float:
        """The bytes of a changed weight, including scales, as a share of its present bytes."""

    @abstractmethod
    def noise_scale(self, parameters: Parameters) -> float:
        """Noise relative to 8 bits with fixed ranges, which the sensitivity analysis measures."""

    def overflows(self, parameters: Parameters, machine: MachineClass) -> bool:
        """Whether its kernels add products in too few bits on this class of machine, so that sums saturate."""
        return False

    @property
    def narrows_all(self) -> bool:
        """Whether it narrows every weight in the file."""
        return False

    def weight_type(self, parameters: Parameters) -> str | None:
        """The number type of the weights, as named in `kernels`."""
        weight = parameters.get("weight_type") or parameters.get("type") or parameters.get("dtype")
        return str(weight) if weight is not None else None

    def nats(self, parameters: Parameters) -> float | None:
        """A language model's loss with every layer changed, in nats per token; `None` if it was never measured."""
        return None

    def seen(self, parameters: Parameters, profile: GraphProfile) -> frozenset[str] | None:
        """The operator types on which its noise was measured; `None` if only losses of whole models are known."""
        return profile.operators

    def fragile(self, profile: GraphProfile) -> tuple[str, ...]:
        """Operator types that explain a predicted collapse and that other variants leave in float."""
        return ()

    def number_types(self, parameters: Parameters) -> tuple[str, ...] | None:
        return tuple(str(parameters[name]) for name in _NUMBER_TYPES if name in parameters)

    def scope(self, parameters: Parameters) -> Hashable:
        return _plain({name: parameters.get(name) for name in _SCOPE})


def _plain(parameters: Parameters) -> Hashable:
    """The parameters as one value that can be compared. The order of names in a list does not matter."""
    return tuple(
        (name, tuple(sorted(value)) if isinstance(value, list | tuple) else value)
        for name, value in sorted(parameters.items())
    )
