"""What a session has before it, in seconds: its steps under way, the candidates it may still try, judging, packing.

Seconds come from what was measured: of candidates from the plan's predictions, multiplied by how much longer the
measured ones took (`time_left`); of other steps from earlier sessions (`SessionState.usual_s`). Which candidates will
be tried is not known, because every result can make others pointless. So each counts with the chance that none of those
before it turns out better than it could be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from apps.agents.contracts.chain import Chain
from apps.agents.contracts.forecast import Forecast
from apps.agents.contracts.state import (
    ACTIVE,
    JUDGING,
    JUDGING_WAIT,
    CandidateRecord,
    SessionState,
    StepKind,
    StepRequest,
)
from apps.agents.measuring.statistics.certainty import LOOKED_AT, shared_confidence
from apps.agents.planning.minutes import judged_longer_s, least_ranking_s
from apps.agents.planning.ordering import optimistic_gain
from apps.agents.planning.shared_steps import OTHERWISE_S
from apps.agents.session.judging_ahead import JudgingAhead, judges
from apps.agents.session.search import Option, Search
from apps.agents.session.time_left import foreseen_chains

MOST_CANDIDATES_GUESSED = 6
"""Before the plan: how many candidates a session is expected to try, if its budget allows more."""
REPAIRS = 0.3
"""How many repairs a candidate that breaks a limit has on average."""
DOUBT = 0.75
"""The power of a candidate's chance with which it makes later ones pointless. Below 1, the least promising candidates
hardly count less than the others."""
PROVEN = 0.8
"""The chance that a candidate within the limits will be proven, before any candidate is measured."""


def before_the_plan(state: SessionState) -> Forecast:
    """A guess: nothing is known of candidates yet."""
    known = state.usual_s
    each_s = known.get(StepKind.OPTIMIZE, OTHERWISE_S[StepKind.OPTIMIZE]) + known.get(
        StepKind.EVALUATE, least_ranking_s(state.criteria)
    )
    candidates = min(MOST_CANDIDATES_GUESSED, state.criteria.budget.candidates)
    trying_s = min(candidates * each_s, max(0.0, 60 * state.criteria.budget.minutes - state.worked_s))
    judging_s = known.get(JUDGING, least_ranking_s(state.criteria) + judged_longer_s(state.criteria))
    judging_s += known.get(JUDGING_WAIT, 0.0)
    steps = _active(state)
    missing = [kind for kind in (StepKind.ANALYSE, StepKind.PLAN) if not _has(state, kind)]
    later_s = trying_s + judging_s + usual_s(state, StepKind.PACKAGE) + sum(usual_s(state, kind) for kind in missing)
    return Forecast(
        steps={step.key: usual_s(state, step.kind) for step in steps},
        later_s=round(later_s, 1),
        at_once=state.parallelism,
        planned=False,
    )


def usual_s(state: SessionState, kind: StepKind) -> float:
    return state.usual_s.get(kind, OTHERWISE_S.get(kind, least_ranking_s(state.criteria)))


def _active(state: SessionState, *, stand_ins: bool = False) -> list[StepRequest]:
    """The steps under way, or what stands in for those of searches."""
    return [step.request for step in state.steps if step.status in ACTIVE and step.stands_in == stand_ins]


def _has(state: SessionState, kind: StepKind) -> bool:
    return any(step.request.kind is kind for step in state.steps)


@dataclass(frozen=True)
class Foresight:
    """The forecast of a session with a plan."""

    search: Search

    @property
    def forecast(self) -> Forecast:
        steps = {step.key: round(self._seconds(step), 1) for step in _active(self._state)}
        waits = {step.key: round(self._judging.wait_s, 1) for step in _active(self._state) if judges(step)}
        return Forecast(steps=steps, waits=waits, later_s=round(self._later_s, 1), at_once=self._state.parallelism)

    @property
    def _state(self) -> SessionState:
        return self.search.state

    @cached_property
    def _judging(self) -> JudgingAhead:
        return JudgingAhead(self.search)

    # --- steps under way ---------------------------------------------------------------------------------------------

    def _seconds(self, step: StepRequest) -> float:
        """How long a step should take in all."""
        if step.kind is StepKind.EVALUATE:
            return self._judging.each_s if judges(step) else self.search.time_left.ranking_s
        if step.kind is StepKind.OPTIMIZE:
            return self._making_s(step)
        return usual_s(self._state, step.kind)

    def _making_s(self, step: StepRequest) -> float:
        """Of a candidate's own link, or of a link that several share: as predicted for the first of them."""
        trial = next((one for one in self.search.trials if one.key == step.candidate or one.maker == step.key), None)
        if trial is None:
            trial = next((one for one in self.search.trials if self._is_made_by(one.planned.steps, step.key)), None)
        if trial is None:
            return usual_s(self._state, StepKind.OPTIMIZE)
        return self._link_s(trial.planned)

    def _is_made_by(self, chain: Chain, key: str) -> bool:
        return any(self.search.steps.key_of(chain[:place]) == key for place in range(1, len(chain) + 1))

    def _link_s(self, candidate: CandidateRecord) -> float:
        """What one of the links of a candidate takes that are still to be made."""
        missing = self._missing(candidate.steps)
        making_s = self.search.time_left.needs_s(candidate) - self.search.time_left.ranking_s
        return max(1.0, self._made_anew * making_s / max(1, len(missing)))

    @cached_property
    def _made_anew(self) -> float:
        """The share of making candidates that is not taken from the store, as this session's steps have shown."""
        made = [step for step in self._state.steps if step.request.kind is StepKind.OPTIMIZE]
        anew_s = sum(step.duration_s or 0.0 for step in made if not step.taken)
        taken_s = sum(step.duration_s or 0.0 for step in made if step.taken)
        assumed_s = OTHERWISE_S[StepKind.OPTIMIZE]
        return (assumed_s + anew_s) / (assumed_s + anew_s + taken_s)

    def _missing(self, chain: Chain) -> list[Chain]:
        links = foreseen_chains(chain, self.search.specs)
        return [link for link in links if self.search.steps.made(link) is None]

    # --- what follows ------------------------------------------------------------------------------------------------

    @property
    def _later_s(self) -> float:
        packaging_s = 0.0 if self.search.steps.package else usual_s(self._state, StepKind.PACKAGE)
        return self._searching_s + self._trying_s + self._judging.later_s + packaging_s

    @property
    def _searching_s(self) -> float:
        """What is left of searches under way, besides their steps that run now."""
        parts = [one for one in self._state.steps if one.request.kind in (StepKind.SUPERNET, StepKind.TRIALS)]
        done_s = sum(one.duration_s or 0.0 for one in parts)
        running_s = sum(self._seconds(one.request) for one in parts if one.status in ACTIVE)
        whole_s = sum(self._making_s(one) for one in _active(self._state, stand_ins=True))
        return max(0.0, whole_s - done_s - running_s)

    @property
    def _trying_s(self) -> float:
        """Evaluating what is being made, and making and ranking what may still be tried, within the budgets."""
        search, time_left = self.search, self.search.time_left
        if search.finals is not None or search.steps.package is not None:
            return 0.0
        waiting = sum(trial.started and trial.evaluate is None and not trial.decided for trial in search.trials)
        total_s = waiting * time_left.ranking_s
        under_way_s = self._searching_s + sum(self._seconds(step) for step in _active(self._state))
        room_s = time_left.seconds - under_way_s - self._judging.each_s
        room = max(0, self._state.criteria.budget.candidates - search.started)
        made = {step.key for stand_ins in (False, True) for step in _active(self._state, stand_ins=stand_ins)}
        for option, chance in _with_chances(search, search.ranked_options[0][:room]):
            needed_s = self._needed_s(option.candidate, made)
            if total_s + needed_s > room_s:
                break
            total_s += chance * (needed_s + (1 - option.chance) * REPAIRS * self._repair_s(option.candidate))
        return total_s

    def _repair_s(self, candidate: CandidateRecord) -> float:
        """Seconds to make the last link of a candidate another way, and to rank it."""
        return self.search.time_left.ranking_s + self._link_s(candidate)

    def _needed_s(self, candidate: CandidateRecord, made: set[str]) -> float:
        """Seconds to make and rank a candidate, without the links that another one before it needs too (`made`)."""
        missing = self._missing(candidate.steps)
        new = [link for link in missing if self.search.steps.key_of(link) not in made]
        made.update(self.search.steps.key_of(link) for link in new[:-1])
        return self.search.time_left.ranking_s + len(new) * self._link_s(candidate)


def _with_chances(search: Search, options: Sequence[Option]) -> list[tuple[Option, float]]:
    """Each option with the chance that its turn comes: that no earlier one succeeds with a score it cannot reach."""
    found: list[tuple[Option, float]] = []
    tried: list[tuple[float, float]] = []
    proven = _proven(search)
    for option in options:
        hope = optimistic_gain(option.candidate.predicted, search.state.criteria)
        turn = math.prod(1 - success for gain, success in tried if gain >= hope)
        found.append((option, turn))
        tried.append((option.gain, turn * proven * option.chance**DOUBT))
    return found


def _proven(search: Search) -> float:
    """The chance that a candidate within the limits will be proven, from the best measured ones. While that is open,
    others go on being worth trying."""
    confidence = shared_confidence(search.state.criteria.confidence, 2)
    chances = [one.chance(confidence) for one in search.contenders[:LOOKED_AT]]
    return fmean(chances) if chances else PROVEN
