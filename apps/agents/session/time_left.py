"""The minutes of a session: what is left, what a candidate takes, and whether it still fits.

This is the only place that holds candidates against the budget of minutes. What a candidate takes is the plan's
prediction, multiplied by how much longer the measured candidates took than predicted, without the links that are made
already. A training takes as many minutes as it is given. Once something is measured, time to judge the best candidate
is kept. Before that, a prediction alone never keeps a session from trying anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from apps.agents.contracts.chain import Application, Chain
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.state import CandidateRecord, SessionState
from apps.agents.planning.minutes import MEASURED_BESIDES_S, judged_longer_s, least_ranking_s
from apps.agents.planning.shared_steps import MADE_FOR_MANY
from apps.agents.session.candidates import Trial
from apps.agents.session.steps import Steps
from apps.agents.techniques.catalogue import TechniqueSpec
from apps.agents.techniques.knowledge.cost import MINUTES, STEPS


@dataclass(frozen=True)
class TimeLeft:
    """The time of a session with a plan. Everything follows from the state."""

    state: SessionState
    specs: Mapping[str, TechniqueSpec]
    steps: Steps
    trials: Sequence[Trial]

    @property
    def seconds(self) -> float:
        return self._budget_s - self.state.worked_s

    @property
    def _budget_s(self) -> float:
        return 60 * self.state.criteria.budget.minutes

    @property
    def spent(self) -> str | None:
        """That the budget is spent, in a sentence; `None` if it is not."""
        return minutes_spent(self.state)

    # --- what candidates take ----------------------------------------------------------------------------------------

    def needs_s(self, candidate: CandidateRecord) -> float:
        """Seconds to make what is missing of a candidate, and to rank it."""
        return max(self.ranking_s, self.anew_s(candidate) - self._made_s(candidate))

    def anew_s(self, candidate: CandidateRecord) -> float:
        """Seconds to make all of a candidate, and to rank it."""
        predicted, trained_s = candidate.predicted.minutes, _trained_s(candidate.steps)
        if predicted is None:
            return self._usual_s
        return trained_s + max(0.0, 60 * predicted - trained_s) * self._slowness

    @cached_property
    def judging_s(self) -> float:
        """The estimated time to judge one candidate, from the times that ranking took; 0 before one is measured."""
        estimates = [_judging_s(trial, self.state.criteria) for trial in self.trials if trial.report is not None]
        return sum(estimates) / len(estimates) if estimates else 0.0

    @cached_property
    def _measured(self) -> tuple[tuple[CandidateRecord, float, float], ...]:
        """Each measured candidate, and the seconds that making and ranking it took."""
        return tuple(
            (one.planned, self._made_s(one.planned) + (0.0 if one.shared else one.optimize.duration_s or 0.0), ranked_s)
            for one in self.trials
            if one.judgement and one.optimize and one.evaluate and (ranked_s := one.evaluate.duration_s) is not None
        )

    @cached_property
    def _slowness(self) -> float:
        """How many times longer than predicted the measured candidates took, without their training; 1 before one."""
        known = [(one, taken + ranked) for one, taken, ranked in self._measured if one.predicted.minutes is not None]
        predicted_s = sum(60 * (one.predicted.minutes or 0.0) - _trained_s(one.steps) for one, _ in known)
        taken_s = sum(taken - _trained_s(one.steps) for one, taken in known)
        return max(0.1, taken_s / predicted_s) if predicted_s > 0 else 1.0

    @cached_property
    def ranking_s(self) -> float:
        """How long ranking a candidate took on average; before one is measured, what it takes at least."""
        measured = [ranked for _, _, ranked in self._measured]
        return _mean(measured) if measured else least_ranking_s(self.state.criteria)

    @cached_property
    def _usual_s(self) -> float:
        """How long the measured candidates took on average; 0 before one is measured."""
        return _mean([taken + ranked for _, taken, ranked in self._measured])

    def _made_s(self, candidate: CandidateRecord) -> float:
        """Seconds that the links took that are made already, of those that the prediction includes."""
        return sum(self._taken_s(chain) for chain in foreseen_chains(candidate.steps, self.specs))

    def _taken_s(self, chain: Chain) -> float:
        step = self.steps.made(chain)
        return (step.duration_s or 0.0) if step is not None else 0.0

    # --- what fits ---------------------------------------------------------------------------------------------------

    def fits(self, candidate: CandidateRecord) -> bool:
        """Whether a candidate can be made and ranked in the time that is left."""
        return self.too_long_training(candidate) is None and self.is_enough_for(self.needs_s(candidate))

    def is_enough_for(self, seconds: float) -> bool:
        """Whether so much time is left, and time to judge the best candidate after it."""
        if self.spent:
            return False
        return not self._measured or seconds + self.judging_s <= self.seconds

    def both_fit(self, first: CandidateRecord, second: CandidateRecord) -> bool:
        """Whether `second` can still be made and ranked after `first`, as far as is predicted."""
        return self.needs_s(first) + self.needs_s(second) + self.judging_s <= self.seconds

    def too_long_training(self, candidate: CandidateRecord) -> str | None:
        """Why a training is not begun: it takes as many minutes as it is given, and fewer are left."""
        chain = candidate.steps
        missing = [link for place, link in enumerate(chain, 1) if self.steps.made(chain[:place]) is None]
        asked, left = _trained_s(missing) / 60, max(0.0, self.seconds / 60)
        if asked <= left or not asked:
            return None
        of = f"{left:.1f} of {self.state.criteria.budget.minutes:g}"
        return f"Left out: its training takes {asked:g} minutes, and {of} are left."

    def why_too_late(self, candidate: CandidateRecord) -> str:
        """Why a candidate does not fit any more, with the numbers, as the end of a sentence."""
        if spent := self.spent:
            return spent
        left = f"{self.seconds / 60:.1f} of {self.state.criteria.budget.minutes:g} minutes are left"
        takes = f"should take about {self.needs_s(candidate) / 60:.1f}"
        judging = f"and judging the best one {self.judging_s / 60:.1f}"
        return f"{left}; making and measuring {candidate.key} {takes}, {judging}."


def minutes_spent(state: SessionState) -> str | None:
    """That the session's budget of minutes is spent, in a sentence; `None` if it is not."""
    minutes = state.criteria.budget.minutes
    if state.worked_s < 60 * minutes:
        return None
    return (
        f"the budget of {minutes:g} minute{'s' * (minutes != 1)} is spent "
        f"(its steps ran for {state.worked_s / 60:.1f})."
    )


def foreseen_chains(chain: Chain, specs: Mapping[str, TechniqueSpec]) -> list[Chain]:
    """The chains up to each link whose time a prediction includes: all from the first on that is made for it alone."""
    shared = (specs[link.technique].family in MADE_FOR_MANY if link.technique in specs else False for link in chain)
    first = next((place for place, many in enumerate(shared) if not many), len(chain) - 1)
    return [chain[:place] for place in range(first + 1, len(chain) + 1)]


def _trained_s(links: Sequence[Application]) -> float:
    """Seconds of all trainings in these links that end after a time, and not after a number of steps."""
    return sum(60 * float(one.parameters.get(MINUTES, 0)) for one in links if not one.parameters.get(STEPS))


def _judging_s(trial: Trial, criteria: Criteria) -> float:
    """The estimated time to judge a candidate: that of ranking it, with outputs in proportion to the number of test
    examples, and timing in fresh processes."""
    report, evaluate = trial.report, trial.evaluate
    if report is None or evaluate is None or evaluate.duration_s is None:
        return 0.0
    outputs_s = report.outputs_s or 0.0
    more = (report.judging_examples or report.examples) / report.examples
    besides_s = max(0.0, evaluate.duration_s - outputs_s)
    timed_s = max(0.0, besides_s - MEASURED_BESIDES_S)
    return besides_s + judged_longer_s(criteria, timed_s) + outputs_s * more


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0
