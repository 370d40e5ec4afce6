"""Replay sessions on recorded measurements, with and without a history: python -m benchmarks.memory.replay

No model runs. In each order of the recorded models, one session follows another; the real manager decides what to try
next and gets what was measured. With a history, what the sessions before it measured has been remembered. What counts
is how many candidates were measured until the best one was: the one with the highest score of all recorded candidates
that keep the limits. A second round over the same models shows what a session on a known model gains.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Any

from apps.agents.contracts.chain import Application, Chain, key_of
from apps.agents.contracts.criteria import Budget, Criteria, Objective
from apps.agents.contracts.experience import Experience, Fingerprint, Learned, Provenance
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.state import CandidateRecord, SessionState, Status, StepKind, StepRecord, StepRequest
from apps.agents.evaluation.selection import judge
from apps.agents.memory.fingerprints import fingerprint_of
from apps.agents.memory.history import MemoryManager
from apps.agents.memory.recording import experience_of
from apps.agents.planning.agent import PlanningAgent
from apps.agents.session.manager import OptimizationManager
from apps.agents.session.steps import evaluate_key
from apps.agents.techniques.catalogue import catalogue
from apps.agents.techniques.knowledge.onnx import REDUCE_RANGE
from apps.agents.techniques.knowledge.tables import Knowledge
from benchmarks.memory.recording import LEFT_OUT, Measured, Recording, read_all
from benchmarks.memory.spread import spread

OBJECTIVES = (Objective.LATENCY, Objective.SIZE, Objective.BALANCED)
AS_GOOD = 0.98
"""A candidate with this share of the best score counts as the best: timing is no more exact."""
CANDIDATES = 8


@dataclass
class Remembered:
    """A `History` in memory."""

    experiences: list[Experience] = field(default_factory=list)

    def similar(self, fingerprint: Fingerprint) -> Sequence[Experience]:
        return self.experiences

    def keep(self, experiences: Sequence[Experience]) -> None:
        self.experiences.extend(experiences)


@dataclass
class Replay:
    """One session on a recording."""

    recording: Recording
    objective: Objective
    learned: Learned = field(default_factory=Learned)
    steps: list[StepRecord] = field(default_factory=list)
    measured: list[tuple[CandidateRecord, Measured]] = field(default_factory=list)

    @property
    def criteria(self) -> Criteria:
        return Criteria(objective=self.objective, budget=Budget(minutes=60, candidates=CANDIDATES))

    @property
    def fingerprint(self) -> Fingerprint:
        analysis, task = self.recording.analysis, self.recording.dataset.task.value
        return fingerprint_of(analysis.model, task, "top1", self.criteria, analysis.machine, self.recording.name)

    @cached_property
    def good(self) -> frozenset[str]:
        """The recorded candidates that are as good as the best; empty if none keeps the limits and gains anything."""
        judged = {key_of(one.steps): judge(one.report, self.criteria) for one in self.recording.measured}
        scores = {key: found.score for key, found in judged.items() if found.accepted}
        best = max(scores.values(), default=0.0)
        return frozenset(key for key, score in scores.items() if score >= AS_GOOD * best)

    @property
    def trials(self) -> int:
        """How many candidates were measured until a best one was; one more than all if none was."""
        keys = [key_of(one.steps) for _, one in self.measured]
        return next((number for number, key in enumerate(keys, start=1) if key in self.good), len(keys) + 1)

    @property
    def found(self) -> bool:
        return self.trials <= len(self.measured)

    def run(self) -> Replay:
        """Until the search is over: when a finalist is to be judged, or the package made."""
        while True:
            decision = OptimizationManager().next(self._state)
            for request in decision.requests:
                if request.kind is StepKind.PACKAGE or request.parameters.get("part") == Part.EVALUATION:
                    return self
                self.steps.append(self._carried_out(request, decision.candidates))

    @property
    def _state(self) -> SessionState:
        return SessionState(
            criteria=self.criteria,
            model=self.recording.analysis.model,
            dataset=self.recording.dataset,
            seed=0,
            steps=tuple(self.steps),
            disabled_techniques=LEFT_OUT,
            learned=self.learned,
        )

    def _carried_out(self, request: StepRequest, candidates: Sequence[CandidateRecord]) -> StepRecord:
        record = next((one for one in candidates if one.key == request.candidate), None)
        match request.kind:
            case StepKind.ANALYSE:
                return _done(request, self.recording.analysis.model_dump(mode="json"))
            case StepKind.PLAN:
                return _done(request, self._planned())
            case StepKind.EVALUATE if record is not None:
                return self._measure(request, record)
        known = record is None or self._recorded(record.steps) is not None
        return _done(request, {}) if known else StepRecord(request=request, status=Status.FAILED, error="Not recorded.")

    def _planned(self) -> dict[str, Any]:
        agent = PlanningAgent(knowledge=Knowledge(learned=self.learned))
        known = self.recording
        plan = agent.plan(known.analysis, self.criteria, known.dataset, disabled=LEFT_OUT)
        return plan.model_dump(mode="json")

    def _measure(self, request: StepRequest, record: CandidateRecord) -> StepRecord:
        one = self._recorded(record.steps)
        assert one is not None, f"{request.key} was made, so it is recorded"
        self.measured.append((record, one))
        assert request.key == evaluate_key(record.key)
        return _done(request, one.report.model_dump(mode="json"), one.measuring_s)

    def _recorded(self, chain: Chain) -> Measured | None:
        """The measurement of a chain, whose optional links count only if they were applied.

        Where weights in 7 bits were not recorded, those in 8 bits stand for them: they are as fast and as large.
        """
        wide = tuple(_in_eight_bits(link) for link in chain)
        keys = [key_of(those) for one in (chain, wide) for those in (one, [link for link in one if not link.optional])]
        known = {key_of(one.steps): one for one in self.recording.measured}
        return next((known[key] for key in keys if key in known), None)

    def experiences(self, session: str) -> list[Experience]:
        specs, fingerprint = catalogue(), self.fingerprint
        return [
            experience_of(
                record.steps,
                record.predicted,
                one.report,
                (one.making_s + one.measuring_s) / 60,
                fingerprint,
                Provenance(session=session, candidate=record.key),
                specs,
            )
            for record, one in self.measured
        ]


def _in_eight_bits(link: Application) -> Application:
    parameters = {name: value for name, value in link.parameters.items() if name != REDUCE_RANGE}
    return link.model_copy(update={"parameters": parameters})


def _done(request: StepRequest, result: dict[str, Any], duration_s: float = 1.0) -> StepRecord:
    return StepRecord(request=request, status=Status.COMPLETED, result=result, duration_s=duration_s)


@dataclass(frozen=True)
class Outcome:
    """How sessions went: the mean number of trials until the best candidate was measured, and how often it was."""

    what: str
    sessions: int
    trials: float
    found: float
    measured: float
    """How many candidates a session measured in all."""

    @classmethod
    def of(cls, what: str, replays: Sequence[Replay]) -> Outcome:
        return cls(
            what,
            len(replays),
            fmean(one.trials for one in replays),
            fmean(one.found for one in replays),
            fmean(len(one.measured) for one in replays),
        )


def in_order(recordings: Sequence[Recording], objective: Objective, rounds: int = 2) -> list[list[Replay]]:
    """Sessions one after the other, each with the history of those before it; a list for each round."""
    history, made = Remembered(), list[list[Replay]]()
    manager = MemoryManager(history)
    for number in range(rounds):
        made.append([])
        for recording in recordings:
            blank = Replay(recording, objective)
            replay = Replay(recording, objective, manager.recall(blank.fingerprint)).run()
            manager.remember(replay.experiences(f"{recording.name} {number}"))
            made[-1].append(replay)
    return made


def compare(
    recordings: Sequence[Recording], orders: int, objectives: Sequence[Objective] = OBJECTIVES
) -> tuple[Outcome, Outcome, Outcome]:
    """Without a history, after sessions on other models only, and after sessions on all models.

    The first session of an order has no history, and is left out everywhere. Sessions in which no candidate keeps the
    limits have no best one, and are left out too.
    """
    bare: list[Replay] = []
    rounds: tuple[list[Replay], list[Replay]] = ([], [])
    for objective in objectives:
        alone = {one.name: Replay(one, objective).run() for one in recordings}
        for seed in range(orders):
            order = random.Random(seed).sample(list(recordings), len(recordings))
            first, second = in_order(order, objective)
            for replay, again in list(zip(first, second, strict=True))[1:]:
                if replay.good:
                    bare.append(alone[replay.recording.name])
                    rounds[0].append(replay)
                    rounds[1].append(again)
    names = ("without a history", "after other models", "after the same model too")
    return tuple(Outcome.of(name, found) for name, found in zip(names, (bare, *rounds), strict=True))  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--orders", type=int, default=6, help="how many orders of the models (default: 6)")
    recordings = read_all()
    print(f"{len(recordings)} models: {', '.join(one.name for one in recordings)}")
    sigma, tau = spread(recordings)
    print(
        f"speed-ups over expected ones: σ = {sigma:.2f}, τ = {tau:.2f}, so k = {(sigma / tau) ** 2 if tau else 0:.2f}"
    )
    for one in compare(recordings, parser.parse_args().orders):
        print(
            f"{one.what:25} {one.sessions:4} sessions: {one.trials:.2f} trials to the best candidate, "
            f"found in {one.found:.0%}, {one.measured:.2f} measured in all"
        )


if __name__ == "__main__":
    main()
