"""What to try if a candidate gains but loses too much: keep its most sensitive parts in float, as few as needed.

A chain here is a planned candidate with its repairs, tried one after the other. First, the operator type that explains
the loss stays in float, if there is one. Then the most sensitive nodes stay in float: a bisection on the sensitivity
ranking finds how many. The search ends when the constraint holds with the fewest nodes in float, or when a repair could
not gain enough.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from typing import Any

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.loss_limits import planned_limit
from apps.agents.contracts.state import Prediction
from apps.agents.evaluation.selection import Judgement
from apps.agents.planning.ordering import obstacle, predicted_gain
from apps.agents.planning.prediction import noise_by_operator, predict, scope_of, suited
from apps.agents.techniques.catalogue import TechniqueSpec
from apps.agents.techniques.knowledge.kernels import KINDS
from apps.agents.techniques.knowledge.profile import HEAVY, GraphProfile
from apps.agents.techniques.knowledge.tables import TABLES, Knowledge
from apps.agents.techniques.variants import KEPT_NODES, KEPT_OPERATORS

EXPLAINS = 0.5
"""An operator type explains a loss if it makes at least this share of the noise."""
OPERATOR_ROUNDS = 2
"""How many operator types are kept in float before single nodes are."""
WORTH_REFINING = 1.03
"""A repair that holds is refined only while fewer nodes in float could gain more than this factor."""


@dataclass(frozen=True)
class Attempt:
    """One candidate of a chain: measured and judged, or failed with an error code."""

    key: str
    parameters: Mapping[str, Any]
    predicted: Prediction
    judgement: Judgement | None = None
    speedup: float = 1.0
    size_ratio: float = 1.0
    drop_points: float = 0.0
    error_code: str | None = None

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(self.parameters.get(KEPT_NODES, ()))

    @property
    def operators(self) -> tuple[str, ...]:
        return tuple(self.parameters.get(KEPT_OPERATORS, ()))

    @property
    def loses_metric(self) -> bool:
        return self.judgement is not None and self.judgement.loses_metric

    @property
    def lost(self) -> str:
        """What speaks against it, as a clause: `lost 1.5`, or the limits it broke if the primary metric holds."""
        besides = self.judgement.broken_besides_metric if self.judgement else ""
        return f"broke {besides}" if besides else f"lost {self.drop_points:.1f}"

    @property
    def repairable(self) -> bool:
        return self.judgement is not None and self.judgement.only_loses_metric


@dataclass(frozen=True)
class Repair:
    """The next candidate of a chain."""

    parameters: Mapping[str, Any]
    prediction: Prediction
    correction: tuple[float, float]
    """Measured over predicted, from other candidates: factors for speed-up and size ratio."""
    reason: str


@dataclass(frozen=True)
class Stop:
    """The end of the chain, and why. `None` if there was nothing to repair."""

    reason: str | None


def next_repair(
    chain: Sequence[Attempt],
    spec: TechniqueSpec,
    profile: GraphProfile,
    criteria: Criteria,
    bar: float,
    others: Sequence[Attempt] = (),
    knowledge: Knowledge = TABLES,
) -> Repair | Stop:
    """The next repair of a chain whose candidates are all decided.

    `bar` is the score that it must be able to beat. `others` are measured candidates of the same technique in other
    chains. Their losses with the same nodes in float are taken to apply here.
    """
    if chain[-1].error_code is not None:
        return _after_failure(chain, spec, profile, criteria, knowledge)
    base = next(attempt for attempt in chain if attempt.judgement is not None)
    if not base.repairable or not _can_keep_float(spec):
        return Stop(_not_repairable(base))
    return _Search(chain, base, spec, profile, criteria, bar, others, knowledge).next()


def _can_keep_float(spec: TechniqueSpec) -> bool:
    return any(parameter.name == KEPT_NODES for parameter in spec.parameters)


def _not_repairable(base: Attempt) -> str | None:
    judgement = base.judgement
    if judgement is None or judgement.accepted:
        return None
    missed = ", ".join(sorted({constraint for constraint, _ in judgement.misses}))
    return (
        f"{base.key} is not repaired: it misses {missed}, which keeping layers in float would not fix; "
        "its number types are abandoned."
    )


def _after_failure(
    chain: Sequence[Attempt], spec: TechniqueSpec, profile: GraphProfile, criteria: Criteria, knowledge: Knowledge
) -> Repair | Stop:
    """If per-channel quantization failed at first, per-tensor is tried once: libraries support it for more graphs."""
    failed = chain[-1]
    if (
        len(chain) > 1
        or not failed.parameters.get("per_channel")
        or not (failed.error_code or "").startswith("technique.")
    ):
        return Stop(f"{failed.key} is not repaired: {spec.label} failed on it.")
    parameters = {**failed.parameters, "per_channel": False}
    prediction = predict(spec, parameters, profile, criteria, knowledge)
    reason = f"Repairs {failed.key}: per channel failed, so one scale per tensor is tried."
    return Repair(parameters, prediction, (1.0, 1.0), reason)


@dataclass(frozen=True)
class _Search:
    """The search along one chain. `base` is its first measured candidate."""

    chain: Sequence[Attempt]
    base: Attempt
    spec: TechniqueSpec
    profile: GraphProfile
    criteria: Criteria
    bar: float
    others: Sequence[Attempt]
    knowledge: Knowledge

    def next(self) -> Repair | Stop:
        if (repair := self._suit_machine()) is not None:
            return repair
        by_operator = [attempt for attempt in self._after_base if attempt.nodes == self.base.nodes]
        by_node = [attempt for attempt in self._after_base if attempt.nodes != self.base.nodes]
        if not by_node:
            last = by_operator[-1] if by_operator else self.base
            if last.judgement is not None and last.judgement.accepted:
                return Stop(None)
            if last.loses_metric and len(by_operator) < OPERATOR_ROUNDS and (repair := self._keep_operator(last)):
                return repair
        return self._keep_nodes(self._foundation(by_operator), by_node)

    @property
    def _after_base(self) -> Sequence[Attempt]:
        return self.chain[self.chain.index(self.base) + 1 :]

    def _suit_machine(self) -> Repair | None:
        """What the machine needs and the first candidate lacks: sums that saturate lose more than any layer."""
        given, why = suited(self.spec, self.base.parameters, self.profile, self.criteria)
        if not why or not self.base.loses_metric or self._after_base:
            return None
        parameters = {**self.base.parameters, **given}
        return self._repair_if_worthwhile(parameters, f"Repairs {self.base.key}: {why}")

    # --- operators ---------------------------------------------------------------------------------------------------

    def _keep_operator(self, last: Attempt) -> Repair | None:
        """Keeps the operator type in float that makes most of the noise, if there is one and it costs little speed."""
        if not any(parameter.name == KEPT_OPERATORS for parameter in self.spec.parameters):
            return None
        noises = noise_by_operator(self.profile, scope_of(self.spec, last.parameters, self.profile))
        total = sum(noises.values())
        if total <= 0:
            return None
        culprit = max(sorted(noises), key=lambda op_type: noises[op_type])
        share = noises[culprit] / total
        if share < EXPLAINS or len(noises) == 1 or KINDS.get(culprit) in HEAVY:
            return None
        parameters = {**last.parameters, KEPT_OPERATORS: [*last.operators, culprit]}
        decibels = -10 * log10(noises[culprit])
        reason = (
            f"Repairs {last.key}, which {last.lost}: {culprit} makes {share:.0%} of the "
            f"quantization noise ({decibels:.1f} dB), so it stays in float."
        )
        return self._repair_if_worthwhile(parameters, reason)

    def _repair_if_worthwhile(self, parameters: Mapping[str, Any], reason: str) -> Repair | None:
        prediction = predict(self.spec, parameters, self.profile, self.criteria, self.knowledge)
        if not self._worthwhile(prediction):
            return None
        return Repair(parameters, prediction, self._correction, reason)

    def _foundation(self, by_operator: Sequence[Attempt]) -> Attempt:
        """The start of the search for nodes: with operators in float, if that helped without costing the gain."""
        useful = [
            attempt for attempt in by_operator if attempt.repairable and attempt.drop_points < self.base.drop_points
        ]
        return min(useful, key=lambda attempt: attempt.drop_points, default=self.base)

    # --- nodes -------------------------------------------------------------------------------------------------------

    def _keep_nodes(self, foundation: Attempt, by_node: Sequence[Attempt]) -> Repair | Stop:
        """Bisects for the smallest number of nodes in float that holds the limit, while that is worthwhile."""
        ranked = self._ranking(foundation)
        started = len(foundation.nodes)
        failing, holding = self._known_failing(foundation, ranked), None
        for attempt in by_node:
            count = len(attempt.nodes) - started
            if attempt.judgement is None:
                return Stop(f"{attempt.key} failed, so its search ends.")
            if attempt.loses_metric:
                failing = max(failing, count)
            else:
                holding = count if holding is None else min(holding, count)
        ceiling = self._ceiling(foundation, ranked)
        if holding is None and failing >= ceiling:
            return Stop(self._nothing_left(foundation, ceiling, failing))
        if holding is not None and not self._worth_refining(foundation, ranked, failing, holding):
            return Stop(None)
        count = self._next_count(foundation, ranked, failing, holding, ceiling)
        return self._node_repair(foundation, ranked, count, failing, holding)

    def _known_failing(self, foundation: Attempt, ranked: Sequence[str]) -> int:
        """A number of nodes in float known to be too few, from chains that quantize the same nodes and lose about as
        much.

        Number types change the speed of a kernel much more than they change the noise of eight bits.
        """
        known = 0
        for sibling in self._siblings(foundation):
            extra = sibling.nodes[len(foundation.nodes) :]
            if sibling.loses_metric and extra == tuple(ranked[: len(extra)]):
                known = max(known, len(extra))
        return known

    def _siblings(self, foundation: Attempt) -> list[Attempt]:
        """Attempts of other chains with the foundation's scope, if their whole loss is between half and twice its
        own."""
        same = [
            other
            for other in self.others
            if set(other.operators) == set(foundation.operators)
            and set(other.parameters.get("operators", ())) == set(foundation.parameters.get("operators", ()))
            and other.nodes[: len(foundation.nodes)] == foundation.nodes
        ]
        whole = [other.drop_points for other in same if other.nodes == foundation.nodes]
        alike = any(0.5 * foundation.drop_points <= drop <= 2 * foundation.drop_points for drop in whole)
        return same if alike else []

    def _ranking(self, foundation: Attempt) -> tuple[str, ...]:
        changed = {node.name for node in scope_of(self.spec, foundation.parameters, self.profile).nodes if node.name}
        return tuple(node.name for node in self.profile.ranking if node.name in changed)

    def _with_nodes(self, foundation: Attempt, ranked: Sequence[str], count: int) -> dict[str, Any]:
        return {**foundation.parameters, KEPT_NODES: [*foundation.nodes, *ranked[:count]]}

    def _predict(self, foundation: Attempt, ranked: Sequence[str], count: int) -> Prediction:
        parameters = self._with_nodes(foundation, ranked, count)
        return predict(self.spec, parameters, self.profile, self.criteria, self.knowledge)

    def _ceiling(self, foundation: Attempt, ranked: Sequence[str]) -> int:
        """The largest number of nodes in float that still leaves a gain; 0 if none does."""
        if not ranked:
            return 0
        worthless = range(1, len(ranked))
        return bisect_left(worthless, True, key=lambda n: not self._worthwhile(self._predict(foundation, ranked, n)))

    def _worthwhile(self, prediction: Prediction) -> bool:
        if obstacle(prediction, self.profile, self.criteria, self._correction, surprise=1.05):
            return False
        return predicted_gain(prediction, self.criteria, self._correction) > max(1.02, self.bar)

    @property
    def _correction(self) -> tuple[float, float]:
        """Measured over predicted, for the chain's last measured candidate."""
        known = [attempt for attempt in self.chain if attempt.judgement is not None]
        last = known[-1]
        return last.speedup / last.predicted.speedup, last.size_ratio / last.predicted.size_ratio

    def _worth_refining(self, foundation: Attempt, ranked: Sequence[str], failing: int, holding: int) -> bool:
        if holding - failing <= 1:
            return False
        fewest = self._predict(foundation, ranked, failing + 1)
        if predicted_gain(fewest, self.criteria, self._correction) <= self.bar:
            return False
        most = predicted_gain(fewest, self.criteria)
        return most / predicted_gain(self._predict(foundation, ranked, holding), self.criteria) >= WORTH_REFINING

    def _next_count(
        self, foundation: Attempt, ranked: Sequence[str], failing: int, holding: int | None, ceiling: int
    ) -> int:
        if holding is not None:
            return (failing + holding) // 2
        if failing == 0 and (guess := self._first_guess(foundation, ranked, ceiling)):
            return guess
        return (failing + ceiling + 1) // 2

    def _first_guess(self, foundation: Attempt, ranked: Sequence[str], ceiling: int) -> int | None:
        """The fewest nodes in float with a loss of at most half the limit, predicted and scaled to the measured
        loss."""
        whole = self._noise(foundation, ranked, 0)
        limit = planned_limit(self.criteria.constraints)
        if whole is None or limit is None or foundation.drop_points <= 0:
            return None
        scale = foundation.drop_points / max(self.knowledge.metric_drop_points(whole), 1e-9)
        counts = range(1, ceiling + 1)

        def low_enough(count: int) -> bool:
            noise = self._noise(foundation, ranked, count)
            return noise is not None and scale * self.knowledge.metric_drop_points(noise) <= limit / 2

        index = bisect_left(counts, True, key=low_enough)
        return counts[index] if index < len(counts) else None

    def _noise(self, foundation: Attempt, ranked: Sequence[str], count: int) -> float | None:
        parameters = self._with_nodes(foundation, ranked, count)
        scope = scope_of(self.spec, parameters, self.profile)
        if not any(node.noise is not None for node in (*scope.nodes, *scope.kept)):
            return None
        return sum(noise_by_operator(self.profile, scope).values())

    def _node_repair(
        self, foundation: Attempt, ranked: Sequence[str], count: int, failing: int, holding: int | None
    ) -> Repair:
        parameters = self._with_nodes(foundation, ranked, count)
        if holding is not None:
            why = f"{holding} of {len(ranked)} nodes in float are enough and {failing} are too few"
        elif failing:
            why = f"{failing} of {len(ranked)} nodes in float are too few"
        else:
            why = f"{foundation.key} {foundation.lost}"
        plural = "node stays" if count == 1 else "nodes stay"
        reason = f"Repairs {self.chain[-1].key}: {why}; the {count} most sensitive {plural} in float."
        prediction = predict(self.spec, parameters, self.profile, self.criteria, self.knowledge)
        return Repair(parameters, prediction, self._correction, reason)

    def _nothing_left(self, foundation: Attempt, ceiling: int, failing: int) -> str:
        if ceiling == 0 or failing == 0:
            return f"{foundation.key} is not repaired further: with more in float, it would not gain anything."
        return (
            f"{foundation.key} is not repaired further: {failing} nodes in float still lose too much, "
            "and with more of them, it would not gain anything."
        )
