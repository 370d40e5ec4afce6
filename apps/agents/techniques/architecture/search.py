"""The search, phase by phase: table, supernet, trials, finalists, and the training of the best to its end.

It continues from a checkpoint at the batch of trials, or at the training, where it was interrupted, and finds the same.
A session has its phases in steps of their own (`apps.agents.session.searching`): one ends with the supernet, others
make a portion of trials each, and the last goes on from what they have found.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueNoEffect, TechniqueSearchTooSlow
from apps.agents.contracts.searching import Portion, PortionMade, Searched, SoFar, TrialCard
from apps.agents.techniques.architecture import table as tables
from apps.agents.techniques.architecture.cards import card_of, finalists_of, trials_of
from apps.agents.techniques.architecture.progress import Finalist, PhaseContext, Progress
from apps.agents.techniques.architecture.searchable_model import Length, Lesson, SearchableModel
from apps.agents.techniques.architecture.shown import TRIAL_LATENCY, TRIAL_LOSS, TRIAL_PARAMETERS
from apps.agents.techniques.architecture.space import Kind, Values
from apps.agents.techniques.architecture.trials import Proposer, Trial, finalists
from apps.agents.techniques.training.trainer import HELD_OUT_LOSS, TRAINING_LOSS

SUPERNET, TRIALS, FINALISTS = 0.45, 0.2, 0.1
"""Shares of the minutes left after the table; the rest trains the network found."""
LEAST_TO_TRAIN = 0.15
"""Share of all minutes that the training of the network found gets, however long the phases before it took."""
CORRECTING, CHECKING = 24, 24
"""Sub-networks that correct the table, and those on which its error is measured."""
LEAST_TO_LEARN = 0.75
"""Share of all minutes that count as left after the table, however long that took."""
_LEARNED = {HELD_OUT_LOSS: "supernet held-out loss"}
_TRAINED = {TRAINING_LOSS: TRAINING_LOSS, HELD_OUT_LOSS: HELD_OUT_LOSS}
_PLACES = {
    "table": (0.0, 0.1),
    "supernet": (0.1, 0.5),
    "trials": (0.5, 0.7),
    "finalists": (0.7, 0.78),
    "end": (0.78, 1.0),
}
_TABLED = 0.6
"""The share of the table's progress when operators are timed."""
_START_TRIES = 400


@dataclass(frozen=True)
class Asked:
    """What a search is asked for."""

    minutes: float
    steps: int
    """Of the supernet; 0 means as many as fit."""
    final_steps: int
    trials: int
    batch: int
    sampler: str
    latency_left: float
    finalists: int
    seed: int
    place: int = 1
    """Which of the finalists is wanted, from 1, the best."""

    @classmethod
    def of(cls, parameters: Mapping[str, Any], seed: int) -> Asked:
        known = {name: parameters[name] for name in cls.__dataclass_fields__ if name in parameters}
        return cls(**{**known, "seed": seed})


@dataclass
class Search:
    """One search of a model. Checkpoints are written to `scratch` first."""

    model: SearchableModel
    asked: Asked
    context: Context
    scratch: Path
    label: str
    clock: Callable[[], float] = time.monotonic
    progress: Progress = field(default_factory=Progress)
    searched: Searched | None = None
    """What steps before this one have found; it goes on from there if there is no checkpoint."""

    def __post_init__(self) -> None:
        self._began = self.clock() - self.progress.spent_s
        self._phases = "table", "end"

    def run(self, given: Values | None = None) -> tuple[Values, Lesson]:
        """The network found, trained to its end. With `given`, that network is taken: nothing is timed or tried.

        Raises `TechniqueSearchTooSlow` if the smallest sub-network takes longer than asked for.
        """
        inner = self._resumed()
        if self.searched is not None:
            self._phases = "end", "end"
        self._began = self.clock() - self.progress.spent_s
        for number, trial in enumerate(self.progress.trials, start=1):
            self._show(number, trial)
        if given is None:
            self.measure()
        inner = self._learn(inner)
        if given is None:
            self._search()
            given = self._best()
        return given, self._train(given, inner)

    # --- in steps -----------------------------------------------------------------------------------------------------

    def prepare(self, file: Path) -> None:
        """Measures and trains the supernet, and writes both to `file`. Raises `TechniqueSearchTooSlow`."""
        self._phases = "table", "supernet"
        inner = self._resumed()
        self._began = self.clock() - self.progress.spent_s
        self.measure()
        self._learn(inner)
        self.progress.spent_s = self._spent_s()
        self.model.write(file, self.progress, None, weights=True)

    def portion(self, asked: Portion, made: Sequence[TrialCard], tell: Callable[[TrialCard], object]) -> PortionMade:
        """Makes a portion of the trials, or of the finalists' trainings, without those `made` already. Each is told."""
        self._phases = ("finalists", "finalists") if asked.finalists else ("trials", "trials")
        self._resumed()
        began = self.clock()
        known = {one.number: one for one in made}
        if asked.finalists:
            return PortionMade(trials=self._trained_finalists(asked, known, tell), seconds=self.clock() - began)
        found: list[TrialCard] = []
        proposed, late = 0, False
        for _ in range(asked.generations):
            proposals = list(enumerate(self._proposals(), start=len(self.progress.trials) + 1))
            proposed = len(proposals)
            for number, values in proposals[asked.share :: asked.of]:
                if late := self._is_over(asked, self.clock() - began, number):
                    break
                done = len(found) * asked.of / (asked.generations * self.asked.batch)
                self._tell("trials", done, f"trial {number} of {self.asked.trials}")
                card = known.get(number) or card_of(number, self._tried(values), self.model.space)
                found.append(card)
                tell(card)
            if late or not proposals or asked.of > 1:
                break
            self.progress.trials = [*self.progress.trials, *trials_of(found[-proposed:])]
        return PortionMade(trials=tuple(found), proposed=proposed, seconds=self.clock() - began, late=late)

    def _is_over(self, asked: Portion, spent_s: float, number: int) -> bool:
        """Whether the time for trials is over before trial `number`. The first one is made in any case."""
        return asked.left_s is not None and spent_s > asked.left_s and number > 1

    def _trained_finalists(
        self, asked: Portion, known: Mapping[int, TrialCard], tell: Callable[[TrialCard], object]
    ) -> tuple[TrialCard, ...]:
        chosen = finalists(self.progress.trials, self.limit_ms, self.asked.finalists)
        cards = self.searched.so_far.trials if self.searched is not None else ()
        numbers, found = {one.values: one.number for one in cards}, []
        for place, trial in list(enumerate(chosen))[asked.share :: asked.of]:
            number = numbers[trial.values]
            if (card := known.get(number)) is None:
                alone = self._finalist(place, trial, len(chosen)).alone
                card = card_of(number, trial, self.model.space, alone)
            found.append(card)
            tell(card)
        return tuple(found)

    @property
    def limit_ms(self) -> float:
        return self.asked.latency_left * self.progress.original_ms

    # --- phases -------------------------------------------------------------------------------------------------------

    def measure(self) -> None:
        """Fills the table, corrects it, and measures its error. Raises `TechniqueSearchTooSlow`."""
        if self.progress.table is not None:
            return
        model, random = self.model, np.random.default_rng(self.asked.seed)
        table = tables.measured(
            model.layers, model.operators_ms, lambda share: self._tell("table", _TABLED * share, "timing operators")
        )
        ends = [model.space.smallest, model.space.largest]
        drawn = [model.space.near(random.uniform(0.1, 1.0), random, 0.3) for _ in range(CORRECTING + CHECKING)]
        drawn = list(dict.fromkeys([*ends, *drawn]))
        self._tell("table", _TABLED, "timing sub-networks")
        times, works = list(model.networks_ms(drawn)), [model.work(values) for values in drawn]
        # The ends of the space come first, to correct it: a table must not have to guess beyond what it knows. Of a
        # small space half of the others do, and half check.
        known = len(drawn) - min(CHECKING, (len(drawn) - len(ends)) // 2)
        table = table.corrected(works[:known], times[:known])
        pairs = tuple((table.latency_ms(work), time) for work, time in zip(works[known:], times[known:], strict=True))
        self.progress.table, self.progress.deviation = table, tables.Deviation(pairs)
        least, self.progress.original_ms = (table.latency_ms(model.work(end)) for end in ends)
        within = f"within 10 % for {self.progress.deviation.within:.0%} of {len(pairs)} other sub-networks"
        unchecked = "not checked, as there are no other sub-networks"
        self.context.log(f"The table of {table.entries:,} operators is {within if pairs else unchecked}.")
        if least > self.limit_ms:
            raise TechniqueSearchTooSlow(
                technique=self.label,
                asked=f"{self.asked.latency_left:.0%}",
                least=f"{least / self.progress.original_ms:.0%}",
            )
        self._keep(weights=False)

    def _learn(self, inner: Path | None) -> Path | None:
        """Trains the supernet. Returns the checkpoint of a later training, if that is what `inner` is."""
        if self.progress.supernet:
            return inner
        asked = self.asked
        minutes = SUPERNET * max(LEAST_TO_LEARN * asked.minutes, asked.minutes - self._spent_s() / 60)
        length = Length(minutes, asked.steps)
        lesson = self.model.learn(length, self._phase("supernet", _LEARNED, inner, weights=False))
        self.progress.supernet, self.progress.supernet_steps = lesson.evidence, lesson.steps
        self._keep(weights=True)
        return None

    def _search(self) -> None:
        """Makes trials, batch by batch, until there are as many as asked for, or their time is over."""
        asked, trials = self.asked, self.progress.trials
        until_s = self._spent_s() + 60 * TRIALS * asked.minutes
        while not self.progress.searched:
            batch = self._proposals()
            for number, values in enumerate(batch, start=len(trials) + 1):
                if trials and self._late(until_s):
                    break
                self._tell("trials", number / asked.trials, f"trial {number} of {asked.trials}")
                trials.append(self._tried(values))
                self._show(number, trials[-1])
            late = self._late(until_s)
            self.progress.searched = late or not batch or len(trials) >= asked.trials
            self._keep(weights=True)

    def _proposals(self) -> list[Values]:
        """The next generation, from the trials so far and the seed alone; empty if there are enough of them."""
        asked, trials = self.asked, self.progress.trials
        proposer = Proposer(self.model.space, asked.sampler, self.limit_ms, asked.batch, asked.seed)
        return (proposer.propose(trials) if trials else self._first())[: max(0, asked.trials - len(trials))]

    def _late(self, until_s: float) -> bool:
        """Whether the time for trials is over. With given steps, there is no such time."""
        return not self.asked.steps and self._spent_s() > until_s

    def _best(self) -> Values:
        """Trains the finalists for a short while each, and takes the one with the lowest loss, or the next ones after
        it. Raises `TechniqueNoEffect` if there are not so many."""
        trials, known = self.progress.trials, self.progress.finalists
        chosen = finalists(trials, self.limit_ms, self.asked.finalists)
        if self.asked.place > len(chosen):
            reason = f"number {self.asked.place} of the best networks is wanted, and there are {len(chosen)} finalists"
            raise TechniqueNoEffect(technique=self.label, reason=reason)
        if len(chosen) == 1:
            return chosen[0].values
        for place, trial in enumerate(chosen):
            if place >= len(known):
                known.append(self._finalist(place, trial, len(chosen)))
                self._keep(weights=True)
        return sorted(known, key=lambda one: one.alone.loss)[self.asked.place - 1].values

    def _finalist(self, place: int, trial: Trial, count: int) -> Finalist:
        """Trains one of `count` finalists alone, for its share of their time."""
        length = Length(FINALISTS * self.asked.minutes / count, self.asked.final_steps // 4)
        self._tell("finalists", place / count, f"finalist {place + 1} of {count}")
        shared = self.model.score(trial.values)
        phase = self._phase("finalists", {}, None, weights=True, keeps=False)
        lesson = self.model.train(trial.values, length, phase)
        return Finalist(self.progress.trials.index(trial) + 1, trial.values, shared, lesson.score)

    def _train(self, values: Values, inner: Path | None) -> Lesson:
        asked = self.asked
        left = max(LEAST_TO_TRAIN * asked.minutes, asked.minutes - self._spent_s() / 60)
        return self.model.train(
            values, Length(left, asked.final_steps), self._phase("end", _TRAINED, inner, weights=True)
        )

    # --- trials -------------------------------------------------------------------------------------------------------

    def _first(self) -> list[Values]:
        """The first batch: uniform widths within the limit, then random sub-networks that take nearly as long."""
        space, random = self.model.space, np.random.default_rng((self.asked.seed, 1))
        fitting = [values for share in np.linspace(1.0, 0.05, 20) if self._fits(values := space.uniform(float(share)))]
        found = dict.fromkeys(fitting[:1])
        found |= dict.fromkeys(self._small_kernels(values) for values in list(found))
        for _ in range(_START_TRIES):
            if len(found) >= self.asked.batch:
                break
            values = space.near(random.uniform(0.05, 1.0), random)
            if self._fits(values) and self._latency_ms(values) > 0.5 * self.limit_ms:
                found[values] = None
        return list(dict.fromkeys([*found, space.smallest]))[: self.asked.batch]

    def _small_kernels(self, values: Values) -> Values:
        """The same with the smallest kernels, and with widths as large as the time that this saves allows."""
        space = self.model.space
        for share in np.linspace(1.0, 0.05, 20):
            wide = space.uniform(float(share))
            made = tuple(
                one.options[0] if one.kind is Kind.KERNEL else value
                for one, value in zip(space.dimensions, wide, strict=True)
            )
            if self._fits(made):
                return made
        return values

    def _fits(self, values: Values) -> bool:
        return self._latency_ms(values) <= self.limit_ms

    def _latency_ms(self, values: Values) -> float:
        assert self.progress.table is not None
        return self.progress.table.latency_ms(self.model.work(values))

    def _tried(self, values: Values) -> Trial:
        score, workload = self.model.score(values), self.model.workload(values)
        return Trial(values, score.loss, self._latency_ms(values), workload.parameters, workload.macs, score.accuracy)

    def _show(self, number: int, trial: Trial) -> None:
        shown = {TRIAL_LOSS: trial.loss, TRIAL_LATENCY: trial.latency_ms, TRIAL_PARAMETERS: float(trial.parameters)}
        for name, value in shown.items():
            self.context.metric(name, value, step=number)

    # --- going on -----------------------------------------------------------------------------------------------------

    def _resumed(self) -> Path | None:
        """The checkpoint of the training that was interrupted, if one was."""
        if (file := self.context.checkpoint) is None:
            if self.searched is not None:
                self.progress, _ = self.model.read(self.searched.file, self.scratch)
                self._take_up(self.searched.so_far)
            return None
        self.progress, inner = self.model.read(file, self.scratch)
        self.context.log(f"The search continues after {len(self.progress.trials)} trials.")
        return inner

    def _take_up(self, so_far: SoFar) -> None:
        """What was found by steps that ran beside each other; the trials are over where it is a later one's turn."""
        progress, cards = self.progress, sorted(so_far.trials, key=lambda one: one.number)
        progress.trials, progress.finalists = trials_of(cards), finalists_of(cards, self.limit_ms, self.asked.finalists)
        progress.searched = bool(cards)
        progress.spent_s += so_far.spent_s

    def _phase(
        self, name: str, curves: Mapping[str, str], inner: Path | None, *, weights: bool, keeps: bool = True
    ) -> PhaseContext:
        """The context of a training. Finalists do not keep checkpoints: they are short, and begun anew."""
        begin, end = self._place(name)

        def keep(file: Path) -> None:
            if keeps:
                self._keep(file, weights=weights)
            file.unlink(missing_ok=True)

        return PhaseContext(self.context, begin, end, _WORDS[name], curves, keep, inner)

    def _keep(self, inner: Path | None = None, *, weights: bool) -> None:
        self.progress.spent_s = self._spent_s()
        file = self.scratch / "search"
        self.model.write(file, self.progress, inner, weights=weights)
        self.context.keep_checkpoint(file)

    def _spent_s(self) -> float:
        return self.clock() - self._began

    def _tell(self, phase: str, share: float, what: str) -> None:
        begin, end = self._place(phase)
        self.context.progress(begin + (end - begin) * share, what)

    def _place(self, phase: str) -> tuple[float, float]:
        """The phase as a part of the phases that this step makes."""
        first, last = _PLACES[self._phases[0]][0], _PLACES[self._phases[1]][1]
        begin, end = ((place - first) / (last - first) for place in _PLACES[phase])
        return begin, end


_WORDS = {"supernet": "supernet", "finalists": "finalist", "end": "network found"}
