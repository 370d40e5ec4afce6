"""Predicts what a candidate gains and loses, from kernel factors (Amdahl's law), bytes per number type and noise per
operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from apps.agents.contracts.criteria import CountedSize, Criteria, Device
from apps.agents.contracts.experience import Learned
from apps.agents.contracts.state import Prediction
from apps.agents.measuring.machine_class import MachineClass, machine_class
from apps.agents.memory.kinds import kinds_of
from apps.agents.planning.experience import as_tables, expected_of, with_experience
from apps.agents.planning.risk import higher, risk_of
from apps.agents.techniques.catalogue import Expectation, Family, Risk, TechniqueSpec
from apps.agents.techniques.knowledge.kernels import Kind, kernel
from apps.agents.techniques.knowledge.profile import HEAVY, GraphProfile, Lead, Node
from apps.agents.techniques.knowledge.tables import TABLES, Knowledge
from apps.agents.techniques.knowledge.technique import Outlook, QuantizationKnowledge
from apps.agents.techniques.variants import KEPT_NODES, KEPT_OPERATORS

WIDER_BY = 1.5
WORTH_WIDENING_POINTS = 0.1
"""If the possible loss is below this many points, the prediction gives one number instead of a range."""
STAYS = 0.018
"""The share of a model's time that neither pruning nor quantization shortens, such as that of starting operators. On
the sample ResNet, 9.5 was measured for both in turn where each alone was 3.1 and 3.7."""
NARROW = 3.0
"""From a network that is this many times faster on, its layers are so narrow that a quantization gains less and less.
On the sample ResNet with 3 % of its work, none was left."""
HARMLESS = 0.01
"""Noise at a scale below this is not known to break any operator."""


@dataclass(frozen=True)
class Scope:
    """Which nodes a technique with its parameters changes."""

    nodes: tuple[Node, ...]
    kept: tuple[Node, ...]
    """Nodes that it would change, but that its parameters keep in float."""


def scope_of(spec: TechniqueSpec, parameters: Mapping[str, Any], profile: GraphProfile) -> Scope:
    """The nodes that `spec` changes, and those that its `keep_float_*` parameters keep in float."""
    known = spec.knowledge
    operators = known.operators(spec, parameters, profile)
    kept_operators = frozenset(parameters.get(KEPT_OPERATORS, ()))
    kept_names = frozenset(parameters.get(KEPT_NODES, ()))
    changed: list[Node] = []
    kept: list[Node] = []
    for node in profile.nodes:
        if node.op_type in operators and known.reaches(node):
            stays = node.op_type in kept_operators or (node.name != "" and node.name in kept_names)
            (kept if stays else changed).append(node)
    return Scope(tuple(changed), tuple(kept))


def suited(
    spec: TechniqueSpec, parameters: Mapping[str, Any], profile: GraphProfile, criteria: Criteria
) -> tuple[Mapping[str, Any], str]:
    """`parameters`, completed with defaults and with what the worker's machine needs where they leave it open, and why
    in a sentence; empty if it needs nothing."""
    complete = {**spec.resolve({}), **parameters}
    return spec.knowledge.suited(complete, machine_class(criteria.target.device, profile.flags))


def predict(
    spec: TechniqueSpec,
    parameters: Mapping[str, Any],
    profile: GraphProfile,
    criteria: Criteria,
    knowledge: Knowledge = TABLES,
) -> Prediction:
    """The predicted effect of `spec` with `parameters` on the model. Pure: the same arguments give the same result.

    Speed follows from kernel factors by Amdahl's law, size from the bytes of each weight, and loss from the noise of
    the changed operators. If the sensitivity is unknown, or nothing more is known about a technique, the spec's
    expectation is used. What earlier sessions have shown corrects all of it (`with_experience`).
    """
    if spec.family is Family.EXPORT and profile.format == spec.output_format:
        return _of_export(spec, profile)
    expected = _expected(spec, parameters, profile, criteria, knowledge)
    return with_experience(expected, kinds_of(spec, parameters), knowledge.learned, criteria)


def _expected(
    spec: TechniqueSpec,
    parameters: Mapping[str, Any],
    profile: GraphProfile,
    criteria: Criteria,
    knowledge: Knowledge,
) -> Prediction:
    """What specs and tables expect, without a history."""
    known = knowledge.of(spec)
    if (outlook := known.outlook(parameters, profile)) is not None:
        return _of_outlook(outlook, profile, criteria)
    if not isinstance(known, QuantizationKnowledge):
        expected = spec.expectation
        basis = "The technique's usual effect; this model's own is not known."
        size_ratio = _counted_ratio(expected, criteria)
        return _prediction(profile, expected.speedup, size_ratio, expected.metric_drop_points, expected.risk, basis)
    scope = scope_of(spec, parameters, profile)
    device = criteria.target.device
    return _Quantization(spec.expectation, known, parameters, profile, scope, knowledge, device).predict(criteria)


def in_turn(first: Prediction, second: Prediction, profile: GraphProfile, criteria: Criteria) -> Prediction:
    """The prediction for two techniques in turn, each predicted alone on this form of the model.

    Their gains multiply, except for the time that stays whatever is done (`STAYS`); their losses add up.
    """
    pair = (first, second)
    cut, narrowed = (one.speedup / profile.lead.speedup for one in pair)
    if cut > NARROW:
        narrowed = 1 + (narrowed - 1) * NARROW / cut
    gain = cut * narrowed
    drop = sum(one.metric_drop_points for one in pair)
    high = sum(one.metric_drop_high or one.metric_drop_points for one in pair)
    return Prediction(
        speedup=round(profile.lead.speedup / (1 / gain + STAYS), 3),
        size_ratio=round(first.size_ratio * second.size_ratio / profile.lead.size_ratio, 3),
        metric_drop_points=round(drop, 3),
        metric_drop_high=round(high, 3) if high > drop else None,
        risk=higher(risk_of(drop, criteria), risk_of(high, criteria)).value,
        basis=f"First: {first.basis} Then: {second.basis}",
    )


def in_turn_with_experience(
    first: Prediction,
    second: Prediction,
    profile: GraphProfile,
    criteria: Criteria,
    kinds: Sequence[str],
    learned: Learned,
) -> Prediction:
    """`in_turn`, moved by the lesson on candidates of these `kinds`, which two such techniques made.

    Without one, what is known of either technique alone is combined.
    """
    plain = in_turn(as_tables(first), as_tables(second), profile, criteria)
    if learned.of(kinds) is not None:
        return with_experience(plain, kinds, learned, criteria)
    if first.tables is None and second.tables is None:
        return plain
    experience = min(first.experience, second.experience)
    both = in_turn(first, second, profile, criteria)
    return both.model_copy(update={"tables": expected_of(plain), "experience": experience})


def _of_outlook(outlook: Outlook, profile: GraphProfile, criteria: Criteria) -> Prediction:
    """The loss at worst counts as at most a medium risk, because it was not measured on this model."""
    drop, high = outlook.metric_drop_points, outlook.metric_drop_high
    risk = higher(risk_of(drop, criteria), risk_of(high, criteria))
    size_ratio = _counted_ratio(outlook, criteria)
    return _prediction(profile, outlook.speedup, size_ratio, drop, risk, f"{outlook.basis}.", high)


def _counted_ratio(known: Outlook | Expectation, criteria: Criteria) -> float:
    """The ratio of the size that counts."""
    if criteria.counted_size is CountedSize.COMPRESSED and known.compressed_ratio is not None:
        return known.compressed_ratio
    return known.size_ratio


def _of_export(spec: TechniqueSpec, profile: GraphProfile) -> Prediction:
    """The prediction for an export that has run. `profile` is that of the exported model; both models were measured."""
    basis = (
        f"Both were measured by their analyses: {profile.original_latency_ms:.3g} ms before the export and "
        f"{profile.latency_ms:.3g} ms after it."
    )
    return _prediction(profile, 1.0, 1.0, spec.expectation.metric_drop_points, spec.expectation.risk, basis)


def _prediction(
    profile: GraphProfile,
    speedup: float,
    size_ratio: float,
    drop: float,
    risk: Risk,
    basis: str,
    high: float | None = None,
) -> Prediction:
    """Turns ratios of the technique alone into ratios relative to the session's original."""
    lead = profile.lead
    if lead != Lead():
        basis = (
            f"{basis} Against the original the exported model itself is {lead.speedup:.2f}× as fast and "
            f"{lead.size_ratio:.2f} times smaller."
        )
    return Prediction(
        speedup=round(speedup * lead.speedup, 3),
        size_ratio=round(size_ratio * lead.size_ratio, 3),
        metric_drop_points=round(drop, 3),
        metric_drop_high=None if high is None else round(high, 3),
        risk=risk.value,
        basis=basis,
    )


@dataclass(frozen=True)
class _Quantization:
    """One quantization of one form of a model."""

    expectation: Expectation
    known: QuantizationKnowledge
    parameters: Mapping[str, Any]
    profile: GraphProfile
    scope: Scope
    knowledge: Knowledge

    device: Device

    @property
    def _machine(self) -> MachineClass:
        return machine_class(self.device, self.profile.flags)

    @property
    def _saturates(self) -> bool:
        """Whether sums of its products saturate on this class of machine."""
        products = any(node.kind in HEAVY for node in self.scope.nodes)
        return products and self.known.overflows(self.parameters, self._machine)

    def predict(self, criteria: Criteria) -> Prediction:
        speedup, sources = self._speedup()
        drop, sensitivity = self._loss()
        risk = risk_of(drop, criteria) if drop is not None else self.expectation.risk
        drop = self.expectation.metric_drop_points if drop is None else drop
        high = self._high_loss()
        high = None if high is None or high <= WIDER_BY * drop or high < WORTH_WIDENING_POINTS else high
        risk = risk if high is None else higher(risk, risk_of(high, criteria))
        basis = f"Speed: {sources}; {_where_time_goes(self.profile)}; {sensitivity}."
        return _prediction(self.profile, speedup, self._size_ratio(), drop, risk, basis, high)

    @cached_property
    def _by_operator(self) -> Mapping[str, float]:
        return noise_by_operator(self.profile, self.scope)

    def _loss(self) -> tuple[float | None, str]:
        """The loss in the metric's unit (`None` if it is unknown) and the source of the number."""
        nats = self.known.nats(self.parameters)
        if self.profile.perplexity and nats is not None:
            nats *= self._share_of_noise
            source = f"{nats:.2g} nats per token, as such methods lost on other models, converted at a perplexity of"
            return self.knowledge.perplexity_lost(nats), f"{source} {self.knowledge.typical_perplexity:g}"
        if not self._by_operator:
            return None, "sensitivity not known yet, so the loss is the technique's usual one"
        noise = self.known.noise_scale(self.parameters) * sum(self._by_operator.values())
        source = f"output noise of the changed operators {noise:.2g} of the signal"
        if self._saturates:
            noise += self.knowledge.overflow_noise
            source += f", and {self.knowledge.overflow_noise:.2g} or more because sums of 16 bits saturate"
        if self.profile.perplexity:
            return self.knowledge.perplexity_lost(self.knowledge.nats_per_noise * noise), source
        return self.knowledge.metric_drop_points(noise), source

    def _high_loss(self) -> float | None:
        """The possible loss, counting operators whose sensitivity, or whose loss with such a technique, is unmeasured.

        `None` if all the noise was measured, and before anything was measured, when the expectation covers it.
        """
        seen = self.known.seen(self.parameters, self.profile)
        if not self.profile.measured or self.profile.perplexity or seen is None:
            return None
        scale = self.known.noise_scale(self.parameters)
        noise = self.knowledge.overflow_noise_high if self._saturates else 0.0
        known = self._by_operator
        for op_type in {one.op_type for one in self.scope.nodes if one.op_type in known or one.weight_bytes}:
            measured = known.get(op_type)
            if measured is None:
                noise += scale if scale < HARMLESS else self.knowledge.unmeasured_noise
            else:
                noise += measured * (scale if op_type in seen else self.knowledge.unseen_noise * max(scale, 1.0))
        return self.knowledge.metric_drop_points(noise)

    @property
    def _share_of_noise(self) -> float:
        """The changed nodes' share of the noise of all nodes that it could change; 1 if unknown."""
        every = Scope((*self.scope.nodes, *self.scope.kept), ())
        whole = sum(noise_by_operator(self.profile, every).values())
        return sum(self._by_operator.values()) / whole if whole > 0 else 1.0

    def _speedup(self) -> tuple[float, str]:
        """Original over candidate latency, and the source of the factors."""
        flags, machine = self.profile.flags, self._machine
        activation, weight = self.parameters.get("activation_type"), self.known.weight_type(self.parameters)
        shares: dict[Kind, float] = {}
        for node in self.scope.nodes:
            shares[node.kind] = shares.get(node.kind, 0.0) + node.time_share
        time = max(0.0, 1.0 - sum(shares.values()))
        bases: set[str] = set()
        for kind, share in shares.items():
            rule = kernel(self.known.kernels, kind, activation, weight)
            time += share / (rule.factor(machine) if rule else 1.0)
            if rule and share > 0:
                bases.add(rule.basis)
        assumed = "assuming x86 with VNNI" if flags is None and machine is MachineClass.VNNI else machine.value
        return 1.0 / max(time, 0.02), f"kernel factors on {assumed} ({'; '.join(sorted(bases)) or 'none apply'})"

    def _size_ratio(self) -> float:
        nodes, size_bytes = self.scope.nodes, self.profile.size_bytes
        changed = sum(node.weight_bytes for node in nodes)
        saved = sum(node.weight_bytes * (1 - self.known.bytes_left(self.parameters, node)) for node in nodes)
        if self.known.narrows_all and changed:
            saved *= size_bytes / changed  # Tied weights are listed with both modules but stored once.
        left = max(size_bytes - saved, size_bytes * 0.05)
        return size_bytes / left if size_bytes else 1.0


def noise_by_operator(profile: GraphProfile, scope: Scope) -> dict[str, float]:
    """The noise of each changed operator type, without the share of its nodes that stay in float."""
    changed: dict[str, float] = {}
    every: dict[str, float] = {}
    typical = _typical_noise(scope)
    for node in scope.nodes:
        changed[node.op_type] = changed.get(node.op_type, 0.0) + (typical if node.noise is None else node.noise)
    for node in (*scope.nodes, *scope.kept):
        every[node.op_type] = every.get(node.op_type, 0.0) + (typical if node.noise is None else node.noise)
    known = profile.noise_by_operator
    return {op: known[op] * changed[op] / every[op] for op in changed if op in known and every[op] > 0}


def _typical_noise(scope: Scope) -> float:
    """The noise assumed for nodes that were not measured: the smallest measured one, or 1 if none was measured."""
    return min((node.noise for node in (*scope.nodes, *scope.kept) if node.noise), default=1.0)


def _where_time_goes(profile: GraphProfile) -> str:
    top = sorted(profile.time_by_operator.items(), key=lambda item: -item[1])[:3]
    shares = ", ".join(f"{op_type} {share:.0%}" for op_type, share in top if share > 0)
    return f"time {'by profile' if profile.measured else 'guessed from operator counts'}: {shares or 'unknown'}"
