"""What a candidate should gain and lose: Amdahl's law over kernel factors, bytes by number type, noise by operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.state import Prediction
from apps.agents.measuring.machine_class import MachineClass, machine_class
from apps.agents.techniques.catalogue import Expectation, Family, Risk, TechniqueSpec
from apps.agents.techniques.knowledge.kernels import Kind, kernel
from apps.agents.techniques.knowledge.profile import GraphProfile, Lead, Node
from apps.agents.techniques.knowledge.tables import TABLES, Knowledge
from apps.agents.techniques.knowledge.technique import QuantizationKnowledge
from apps.agents.techniques.variants import KEPT_NODES, KEPT_OPERATORS

WIDER_BY = 1.5
WORTH_WIDENING_POINTS = 0.1
"""A loss that may be no more than so many points more is told as one number."""
HARMLESS = 0.01
"""A scale of noise so small that no operator is known to break by it."""


@dataclass(frozen=True)
class Scope:
    """Which nodes a technique with its parameters changes."""

    nodes: tuple[Node, ...]
    kept: tuple[Node, ...]
    """Nodes it would change, were they not told to stay in float."""


def scope_of(spec: TechniqueSpec, parameters: Mapping[str, Any], profile: GraphProfile) -> Scope:
    """The nodes that `spec` changes and those that its `keep_float_*` parameters hold back."""
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


def predict(
    spec: TechniqueSpec,
    parameters: Mapping[str, Any],
    profile: GraphProfile,
    criteria: Criteria,
    knowledge: Knowledge = TABLES,
) -> Prediction:
    """What `spec` with `parameters` should do to the model: pure, the same for the same arguments.

    Speed by Amdahl's law over kernel factors, size by the bytes of each weight, loss by the noise of the operators
    changed. Where the sensitivity is unknown, and for techniques of which no more is known, the spec's expectation
    stands.
    """
    if spec.family is Family.EXPORT and profile.format == spec.output_format:
        return _of_export(spec, profile)
    known = knowledge.of(spec)
    if not isinstance(known, QuantizationKnowledge):
        expected = spec.expectation
        basis = "The technique's expectation; nothing about this model is known that would change it."
        return _prediction(
            profile, expected.speedup, expected.size_ratio, expected.metric_drop_points, expected.risk, basis
        )
    scope = scope_of(spec, parameters, profile)
    return _Quantization(spec.expectation, known, parameters, profile, scope, knowledge).predict(criteria)


def _of_export(spec: TechniqueSpec, profile: GraphProfile) -> Prediction:
    """`profile` is what came of it: both were measured, each by its own analysis."""
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
    """Ratios of the technique alone become those against the session's original."""
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


def risk_of(drop_points: float, criteria: Criteria) -> Risk:
    """The risk that a predicted loss breaks the member's limit; 1 point where there is none."""
    limit = criteria.constraints.max_metric_drop_points
    limit = 1.0 if limit is None else max(limit, 0.05)
    if drop_points <= 0.02 * limit:
        return Risk.NONE
    if drop_points <= 0.4 * limit:
        return Risk.LOW
    return Risk.MEDIUM if drop_points <= limit else Risk.HIGH


@dataclass(frozen=True)
class _Quantization:
    """One quantization of one form of a model."""

    expectation: Expectation
    known: QuantizationKnowledge
    parameters: Mapping[str, Any]
    profile: GraphProfile
    scope: Scope
    knowledge: Knowledge

    def predict(self, criteria: Criteria) -> Prediction:
        speedup, sources = self._speedup(criteria)
        drop, sensitivity = self._loss()
        risk = risk_of(drop, criteria) if drop is not None else self.expectation.risk
        drop = self.expectation.metric_drop_points if drop is None else drop
        high = self._high_loss()
        high = None if high is None or high <= WIDER_BY * drop or high < WORTH_WIDENING_POINTS else high
        risk = risk if high is None else _higher(risk, risk_of(high, criteria))
        basis = f"Speed: {sources}; {_where_time_goes(self.profile)}; {sensitivity}."
        return _prediction(self.profile, speedup, self._size_ratio(), drop, risk, basis, high)

    @cached_property
    def _by_operator(self) -> Mapping[str, float]:
        return noise_by_operator(self.profile, self.scope)

    def _loss(self) -> tuple[float | None, str]:
        """The loss in the metric's unit, `None` where nothing is known, and where the number comes from."""
        nats = self.known.nats(self.parameters)
        if self.profile.perplexity and nats is not None:
            nats *= self._share_of_noise
            told = f"{nats:.2g} nats a token by what such methods lost elsewhere, told at a perplexity of"
            return self.knowledge.perplexity_lost(nats), f"{told} {self.knowledge.typical_perplexity:g}"
        if not self._by_operator:
            return None, "sensitivity not known yet, so the loss is the technique's expectation"
        noise = self.known.noise_scale(self.parameters) * sum(self._by_operator.values())
        said = f"output noise of the changed operators {noise:.2g} of the signal"
        if self.profile.perplexity:
            return self.knowledge.perplexity_lost(self.knowledge.nats_per_noise * noise), said
        return self.knowledge.metric_drop_points(noise), said

    def _high_loss(self) -> float | None:
        """How much the loss may be, by operators that no such technique, or no sensitivity at all, was measured on.

        `None` where the noise is that of measurements, and before anything was measured: the expectation says so
        itself.
        """
        seen = self.known.seen(self.parameters, self.profile)
        if not self.profile.measured or self.profile.perplexity or seen is None:
            return None
        scale = self.known.noise_scale(self.parameters)
        noise = 0.0
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
        """How much of the noise of all that it could change comes from what it does change; 1 if unknown."""
        every = Scope((*self.scope.nodes, *self.scope.kept), ())
        whole = sum(noise_by_operator(self.profile, every).values())
        return sum(self._by_operator.values()) / whole if whole > 0 else 1.0

    def _speedup(self, criteria: Criteria) -> tuple[float, str]:
        """Original over candidate latency, and where the factors come from."""
        flags = self.profile.flags
        machine = machine_class(criteria.target.device, flags)
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
            saved *= size_bytes / changed  # Tied weights are listed with both their modules and stored once.
        left = max(size_bytes - saved, size_bytes * 0.05)
        return size_bytes / left if size_bytes else 1.0


def _higher(one: Risk, other: Risk) -> Risk:
    """The worse of two risks, where the second rests on no measurement and so counts as medium at most."""
    order = list(Risk)
    return max(one, min(other, Risk.MEDIUM, key=order.index), key=order.index)


def noise_by_operator(profile: GraphProfile, scope: Scope) -> dict[str, float]:
    """Noise that each changed operator type still makes, less the share of its nodes that stay in float."""
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
    """Stands for nodes that were not measured alone: the least that was measured, or 1 for all when none was."""
    return min((node.noise for node in (*scope.nodes, *scope.kept) if node.noise), default=1.0)


def _where_time_goes(profile: GraphProfile) -> str:
    top = sorted(profile.time_by_operator.items(), key=lambda item: -item[1])[:3]
    shares = ", ".join(f"{op_type} {share:.0%}" for op_type, share in top if share > 0)
    return f"time {'by profile' if profile.measured else 'guessed from operator counts'}: {shares or 'unknown'}"
