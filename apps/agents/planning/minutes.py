"""How long candidates take, held against the budget of minutes: making each one, and measuring it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import part_sizes
from apps.agents.contracts.phrasing import capitalized, duration
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.state import CandidateRecord, Prediction
from apps.agents.measuring.effort import FEWEST_PROCESSES, PROCESSES_TAKE, SHARE_OF_RANKING, timing_budget_s
from apps.agents.planning.bases import Basis
from apps.agents.techniques.catalogue import TechniqueSpec
from apps.agents.techniques.knowledge.cost import CostFacts

STARTS_S: Mapping[str, float] = {"tensorflow": 8.0, "torch": 5.0}
"""What a process needs to import a library, read the model and the data; measured."""
STARTS_OTHERWISE_S = 2.0
CHECKING_RUNS = 64
"""Runs that compare 16 examples of what was made with what it was made of, which is run again to see it is steady."""
MEASURED_BESIDES_S = 4.0
"""Of measuring a candidate, what is neither an example nor timing: peak memory, and both models opened; measured."""


@dataclass(frozen=True)
class Minutes:
    """The minutes of candidates on these examples."""

    criteria: Criteria
    dataset: DatasetSummary
    training_share: float = 0.0
    """Of the examples, that techniques may train on."""

    def foreseen(
        self, applied: Sequence[tuple[TechniqueSpec, Mapping[str, Any]]], basis: Basis, prediction: Prediction
    ) -> Prediction:
        """`prediction` with the minutes of applying these techniques one after the other, and where they come from.

        `basis` is the form of the model that is changed. What several candidates start from is made once and is not in
        `applied`. Before the analysis, minutes are a lower bound.
        """
        facts = self.facts(basis)
        costs = [spec.knowledge.cost(spec, parameters, facts) for spec, parameters in applied]
        checked_s = (facts.calibration_examples + CHECKING_RUNS) * facts.forward_s
        starts_s = [_starts_s(spec) for spec, _ in applied]
        making_s = sum(starts_s) + len(applied) * checked_s + sum(max(0.0, cost.seconds) for cost in costs)
        measuring_s = starts_s[-1] + self._measuring_s(facts.forward_s, prediction.speedup)
        known = "" if basis.analysis is not None else "at least, as the model's latency is not known yet: "
        sources = "; ".join(dict.fromkeys(cost.basis for cost in costs))
        sentence = f"{known}{making_s:.0f} s to make it ({sources}) and up to {measuring_s:.0f} s to measure it."
        minutes = round((making_s + measuring_s) / 60, 3)
        return prediction.model_copy(update={"minutes": minutes, "minutes_basis": capitalized(sentence)})

    def facts(self, basis: Basis) -> CostFacts:
        """What is known of this form of the model and of the data."""
        parts = part_sizes(self.dataset.examples, self.training_share)
        latency = basis.analysis.latency if basis.analysis else None
        return CostFacts(
            forward_s=latency.p50_ms / 1000 / max(1, latency.batch_size) if latency else 0.0,
            calibration_examples=parts.calibration,
            training_examples=parts.training,
            parameters=basis.model.parameters,
        )

    def _measuring_s(self, forward_s: float, speedup: float) -> float:
        """Ranking a candidate: original and candidate on every example of the choosing part, and timing both."""
        examples = part_sizes(self.dataset.examples, self.training_share).choosing
        ran_s = examples * forward_s * (1 + 1 / max(speedup, 0.01))
        return least_ranking_s(self.criteria) + ran_s


def least_ranking_s(criteria: Criteria) -> float:
    """Seconds that ranking a candidate takes besides running it on examples: opening, peak memory and timing."""
    return MEASURED_BESIDES_S + SHARE_OF_RANKING * timing_budget_s(criteria.budget)


def judged_longer_s(criteria: Criteria, timed_s: float | None = None) -> float:
    """Seconds by which timing takes longer where a candidate is judged and not only ranked: in several fresh processes,
    each of which starts and opens both models. At most that is, unless it is known how long timing took when it was
    ranked (`timed_s`): what few rounds told then, few rounds tell in the fewest processes."""
    budget_s = timing_budget_s(criteria.budget)
    starts_s = FEWEST_PROCESSES * STARTS_OTHERWISE_S
    longest_s = max(PROCESSES_TAKE * budget_s, budget_s + starts_s)
    most_s = SHARE_OF_RANKING * budget_s
    if timed_s is None or timed_s >= most_s:
        return longest_s - most_s
    return min(longest_s, timed_s / SHARE_OF_RANKING + starts_s) - timed_s


def _starts_s(spec: TechniqueSpec) -> float:
    """Seconds until a process for the technique can begin."""
    return max((STARTS_S.get(name, STARTS_OTHERWISE_S) for name in spec.requires), default=STARTS_OTHERWISE_S)


def against_the_budget(candidates: Sequence[CandidateRecord], criteria: Criteria) -> str | None:
    """What the planned candidates take in all and whether that fits, in a sentence; `None` where nothing is known."""
    budget = criteria.budget.minutes
    planned = [candidate.predicted.minutes for candidate in candidates[: criteria.budget.candidates]]
    minutes = [each for each in planned if each is not None]
    if not minutes:
        return None
    if minutes[0] > budget:
        return (
            f"Even the first candidate does not fit the budget: making and measuring it should take "
            f"{duration(60 * minutes[0])}, and the budget is {duration(60 * budget)}. Allow more minutes, or it may be "
            f"that nothing is measured."
        )
    total, which = sum(minutes), "it" if len(minutes) == 1 else f"all {len(minutes)}"
    sentence = f"Making and measuring {which} should take {duration(60 * total)}; the budget is {duration(60 * budget)}"
    return f"{sentence}." if total <= budget else f"{sentence}, so the last ones may not be measured."
