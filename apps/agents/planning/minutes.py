"""How long candidates take, held against the budget of minutes: making each one, and measuring it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import PartSizes, part_sizes
from apps.agents.contracts.phrasing import capitalized, duration
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.state import CandidateRecord, PlannedStep, Prediction
from apps.agents.measuring.effort import FEWEST_PROCESSES, PROCESSES_TAKE, SHARE_OF_RANKING, timing_budget_s
from apps.agents.planning.bases import Basis
from apps.agents.planning.room import Room, room_to_measure, rooms_of
from apps.agents.techniques.catalogue import TechniqueSpec
from apps.agents.techniques.knowledge.cost import CostFacts
from apps.agents.techniques.knowledge.throughput import Throughput

STARTS_S: Mapping[str, float] = {"tensorflow": 8.0, "torch": 5.0}
"""What a process needs to import a library, read the model and the data; measured."""
STARTS_OTHERWISE_S = 2.0
CHECKING_RUNS = 64
"""Runs that compare 16 examples of what was made with what it was made of, which is run again to see it is steady."""
MEASURED_BESIDES_S = 4.0
"""Of measuring a candidate, what is neither an example nor timing: peak memory, and both models opened; measured."""
MEASURING = "Measuring"
"""The title of the step that measures a candidate."""
Applied = tuple[TechniqueSpec, Mapping[str, Any]]
"""A technique with its parameters."""


@dataclass(frozen=True)
class Minutes:
    """The minutes of candidates on these examples."""

    criteria: Criteria
    dataset: DatasetSummary
    training_share: float = 0.0
    """Of the examples, that techniques may train on."""

    throughput: Throughput | None = None
    """How fast such models ran here, which tells how long one takes that is not analysed yet; `None` if not known."""

    def foreseen(self, applied: Sequence[Applied], basis: Basis, prediction: Prediction) -> Prediction:
        """`prediction` with the steps of applying these techniques one after the other and of measuring what they
        make, and with their minutes and bytes in all.

        `basis` is the form of the model that is changed. What several candidates start from is made once and is not in
        `applied`. Before the analysis, minutes are a lower bound.
        """
        made = self.making(applied, basis, prediction.size_ratio)
        measured = self._measuring(applied[-1][0], basis, prediction.speedup)
        making_s = 60 * sum(one.minutes for one in made)
        sources = "; ".join(dict.fromkeys(one.basis for one in made))
        sentence = (
            f"{self._known(basis)}{making_s:.0f} s to make it ({sources}) and up to {60 * measured.minutes:.0f} s to "
            "measure it."
        )
        return with_steps(prediction.model_copy(update={"minutes_basis": capitalized(sentence)}), (*made, measured))

    def making(self, applied: Sequence[Applied], basis: Basis, size_ratio: float) -> tuple[PlannedStep, ...]:
        """The steps of applying these techniques one after the other. What the last one makes is `size_ratio` times
        smaller than `basis`."""
        facts = self.facts(basis)
        checked_s = (facts.calibration_examples + CHECKING_RUNS) * facts.forward_s
        rooms = rooms_of([spec for spec, _ in applied], basis, size_ratio)
        made: list[PlannedStep] = []
        for (spec, parameters), room in zip(applied, rooms, strict=True):
            cost = spec.knowledge.cost(spec, parameters, facts)
            seconds = starts_s(spec) + checked_s + max(0.0, cost.seconds)
            made.append(_step(spec.label, seconds, room, cost.basis, spec.name))
        return tuple(made)

    def _measuring(self, spec: TechniqueSpec, basis: Basis, speedup: float) -> PlannedStep:
        """Ranking what `spec` made: original and candidate on every example of the choosing part, and timing both."""
        forward_s, examples = self.facts(basis).forward_s, self._parts.choosing
        ran_s = examples * forward_s * (1 + 1 / max(speedup, 0.01))
        runs = f"both run on {examples:,} examples, and " if forward_s else ""
        told = f"{runs}both are timed and opened, as measured"
        seconds = starts_s(spec) + least_ranking_s(self.criteria) + ran_s
        return _step(MEASURING, seconds, room_to_measure(spec, basis), told)

    def facts(self, basis: Basis) -> CostFacts:
        """What is known of this form of the model and of the data."""
        return CostFacts(
            forward_s=self._forward_s(basis),
            calibration_examples=self._parts.calibration,
            training_examples=self._parts.training,
            parameters=basis.model.parameters,
        )

    @property
    def _parts(self) -> PartSizes:
        return part_sizes(self.dataset.examples, self.training_share)

    def _forward_s(self, basis: Basis) -> float:
        """Seconds that one example takes through this form: as its analysis measured, else by the throughput of such
        models; 0 if neither is known."""
        if basis.analysis is not None:
            latency = basis.analysis.latency
            return latency.p50_ms / 1000 / max(1, latency.batch_size)
        return self.throughput.forward_s(basis.model.parameters) if self.throughput else 0.0

    def _known(self, basis: Basis) -> str:
        """What a sentence about minutes says first, where the model was not timed yet."""
        if basis.analysis is not None:
            return ""
        if self.throughput is not None:
            return f"as far as is known before the analysis ({self.throughput.basis}): "
        return "at least, as the model's latency is not known yet: "


def with_steps(prediction: Prediction, steps: Sequence[PlannedStep]) -> Prediction:
    """`prediction` with these steps, and what they take in all."""
    return prediction.model_copy(
        update={
            "steps": tuple(steps),
            "minutes": round(sum(one.minutes for one in steps), 3),
            "memory_bytes": max(one.memory_bytes or 0 for one in steps),
            "disk_bytes": sum(one.disk_bytes or 0 for one in steps),
        }
    )


def _step(title: str, seconds: float, room: Room, basis: str, technique: str = "") -> PlannedStep:
    return PlannedStep(
        title=title,
        technique=technique,
        minutes=round(seconds / 60, 3),
        memory_bytes=room.memory_bytes,
        disk_bytes=room.disk_bytes,
        basis=basis,
    )


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


def starts_s(spec: TechniqueSpec) -> float:
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
