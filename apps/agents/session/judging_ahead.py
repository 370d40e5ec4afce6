"""How long a session will still judge finalists: how long each takes, and how many there should be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.state import JUDGING, JUDGING_ALL, JUDGING_WAIT, SessionState, StepKind, StepRequest
from apps.agents.planning.minutes import judged_longer_s
from apps.agents.session.finalists import Finals
from apps.agents.session.search import Search

SECOND_FINALIST = 0.3
"""The chance that a finalist is not proven, and the next one is judged too, before any candidate is measured."""


@dataclass(frozen=True)
class JudgingAhead:
    """The judging of a session with a plan, as far as it has not been requested."""

    search: Search

    @property
    def _state(self) -> SessionState:
        return self.search.state

    @property
    def later_s(self) -> float:
        """Judging the finalists that have not been asked for, one after the other until one is proven."""
        if self.search.steps.package is not None:
            return 0.0
        finals = self.search.finals or self.search.finals_now
        return self.each_s * (1 + SECOND_FINALIST if finals is None else self._turns(finals))

    @property
    def each_s(self) -> float:
        return self.work_s + self.wait_s

    @cached_property
    def wait_s(self) -> float:
        """How long judging waits for a quiet machine: the mean of this session's waits and of the usual one. A wait is
        as long as it may be or not at all, so the first one alone would mislead."""
        waited = [one.judge.quiet_wait_s for one in self.search.trials if one.judge and one.judge.duration_s]
        return fmean([*waited, self._state.usual_s.get(JUDGING_WAIT, 0.0)])

    @cached_property
    def work_s(self) -> float:
        """How long judging took, without waiting for a quiet machine. Before a finalist was judged: as long as usual,
        corrected by how much longer than usual ranking took (its root, as part of both is chance), or estimated from
        how long ranking took. Before anything was ranked: from earlier sessions, or the least it can take."""
        ended = [one.judge for one in self.search.trials if one.judge]
        judged = [step.duration_s - step.quiet_wait_s for step in ended if step.duration_s]
        if judged:
            return fmean(judged)
        usual, time_left = self._state.usual_s, self.search.time_left
        if not time_left.judging_s:
            return usual.get(JUDGING, time_left.ranking_s + judged_longer_s(self._state.criteria))
        if JUDGING in usual and usual.get(StepKind.EVALUATE):
            return usual[JUDGING] * math.sqrt(time_left.ranking_s / usual[StepKind.EVALUATE])
        return time_left.judging_s

    def _turns(self, finals: Finals) -> float:
        """How many more finalists should be judged: of those not asked for, each with the chance that its turn comes.

        How many were judged in sessions of the same model and data counts as much: the same examples decide again.
        """
        if finals.chosen(closed=False) is not None:
            return 0.0
        turns = self._expected(finals)
        if (usual_s := self._state.usual_s.get(JUDGING_ALL)) is None:
            return turns
        asked = len(finals.keys) - len(finals.unasked)
        usual = min(len(finals.keys), usual_s / self.work_s) - asked
        return (turns + max(0.0, usual)) / 2

    def _expected(self, finals: Finals) -> float:
        chances = self.search.chances_of_proof(finals)
        turns, none_before = 0.0, 1.0
        for key in finals.keys:
            turns += none_before * (key in finals.unasked)
            none_before *= 1.0 if key in finals.judged else 1 - chances.get(key, 0.0)
        return turns


def judges(step: StepRequest) -> bool:
    return step.kind is StepKind.EVALUATE and step.parameters.get("part") == Part.EVALUATION
