"""What is worth trying next in a session with a plan: candidates, shared links and repairs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from apps.agents.contracts.chain import Chain, key_of
from apps.agents.contracts.loss_limits import planned_limit
from apps.agents.contracts.state import CandidateRecord, Status, StepRecord
from apps.agents.evaluation.selection import REAL_CHANGE, best
from apps.agents.planning.baseline import is_baseline
from apps.agents.planning.ordering import (
    SUCCESS,
    expected_improvement,
    minor,
    obstacle,
    one_at_a_time,
    optimistic_gain,
    predicted_gain,
)
from apps.agents.planning.repair import Repair, Stop, next_repair
from apps.agents.session.candidates import Trial, repair_record
from apps.agents.session.chances import chance_to_hold
from apps.agents.session.earlier import is_measured
from apps.agents.session.siblings import Siblings, kind_of
from apps.agents.techniques.catalogue import Risk

FLOAT_MODELS_UNTIL = 0.5
"""After this share of a session's minutes, float models are no longer measured only for comparison."""
INSURANCE = 0.05
"""What a candidate that cannot beat the leader must be expected to add to the logarithm of the delivered score."""
FAILURES_END_TECHNIQUE = 3
"""A technique that failed this often and never worked is not tried again in the session."""


@dataclass(frozen=True)
class Option:
    """A candidate that could be started now."""

    candidate: CandidateRecord
    worth: float
    """Decides which comes first: the improvement for its share of the budgets, unless a rule moves it."""
    improvement: float
    """What it is expected to add to the logarithm of the score that is delivered."""
    gain: float = 1.0
    """Its expected score."""
    chance: float = 1.0
    """That it holds every limit."""


@dataclass(frozen=True)
class Shared:
    """First links that several candidates share. They are applied once for all of them."""

    chain: Chain
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class Search(Siblings):
    """The remaining options of a session. Everything follows from `state`."""

    # --- what candidates share ---------------------------------------------------------------------------------------

    def to_share(self, options: Sequence[Option]) -> Mapping[str, Shared]:
        """The next shared links to apply for these candidates, by the key of the step."""
        found: dict[str, Shared] = {}
        for option in options:
            trial = self.by_key.get(option.candidate.key)
            chain = self.steps.to_make(option.candidate.steps, whole=trial is not None and trial.shared)
            if chain is not None:
                known = found.get(key_of(chain), Shared(chain, ()))
                found[key_of(chain)] = Shared(chain, (*known.candidates, option.candidate.key))
        return found

    # --- other runtimes ----------------------------------------------------------------------------------------------

    def _starting_from(self, export: CandidateRecord) -> list[Trial]:
        """Candidates that start from the candidate `export` and have not been started."""
        if export.key not in {first.key for first in self.float_models}:
            return []
        return [
            trial
            for trial in self.trials
            if not trial.started
            and (first := self._float_model_of(trial.planned)) is not None
            and first.key == export.key
        ]

    @cached_property
    def _room_for_float_models(self) -> bool:
        """Whether the budget allows a float model in addition to a candidate that is compared with it. Without it, the
        numbers from the analyses are used."""
        budget = self.state.criteria.budget
        return budget.candidates - self.started >= 2 and self.state.worked_s <= FLOAT_MODELS_UNTIL * 60 * budget.minutes

    def _awaited_float_model(self, candidate: CandidateRecord) -> bool:
        """Whether it is the float model in another runtime, and a candidate worth trying will be compared with it."""
        if not self._room_for_float_models:
            return False
        return any(self.passed_over(trial) is None for trial in self._starting_from(candidate))

    def _before_what_starts_from_it(self, option: Option, options: list[Option]) -> Option:
        """Moves the float model of a runtime to just before the first candidate that starts from it."""
        later = {trial.key for trial in self._starting_from(option.candidate)}
        held = [other.worth for other in options if other.candidate.key in later]
        if not held or not self._room_for_float_models:
            return option
        return replace(option, worth=max(option.worth, max(held) * (1 + 2e-6)))

    # --- options -----------------------------------------------------------------------------------------------------

    @cached_property
    def options(self) -> tuple[Option, ...]:
        """Candidates worth starting now for which the time suffices, the most promising first."""
        ranked, _ = self.ranked_options
        if known := tuple(option for option in ranked if is_measured(option.candidate, self.state)):
            return known
        owed = [option for option in ranked if option.candidate.key in self._owed]
        return (*owed, *(one for one in self._one_at_a_time(ranked) if one.candidate.key not in self._owed))

    @property
    def too_late(self) -> tuple[Option, ...]:
        """Candidates that would be worth starting, but for which the time does not suffice, the most promising
        first."""
        return self.ranked_options[1]

    @cached_property
    def ranked_options(self) -> tuple[tuple[Option, ...], tuple[Option, ...]]:
        """Every candidate worth starting, the most promising first: those for which the time suffices, and the
        others."""
        found = [
            self._option(trial.planned)
            for trial in self.trials
            if not trial.started and self.passed_over(trial) is None
        ]
        found += [option for chain in self.chains if (option := self._repair_option(chain)) is not None]
        fitting = {one.candidate.key: is_measured(one.candidate, self.state) or self._fits(one) for one in found}
        options = self._largest_while_it_fits([one for one in found if fitting[one.candidate.key]])
        options += [one for one in found if not fitting[one.candidate.key]]
        options = [self._before_what_it_judges(option, options) for option in options]
        options = [self._before_what_starts_from_it(option, options) for option in options]
        options.sort(key=lambda option: (-option.worth, option.candidate.key))
        in_time = tuple(one for one in options if fitting[one.candidate.key])
        return in_time, tuple(one for one in options if not fitting[one.candidate.key])

    def _fits(self, option: Option) -> bool:
        return self.time_left.fits(option.candidate)

    def _option(self, candidate: CandidateRecord) -> Option:
        """The candidate with its worth: the expected improvement of what is delivered, for its share of the budgets.

        Infinite for what a member pinned or added, which is tried in the order of the plan.
        """
        if candidate.wanted:
            return Option(candidate, math.inf, math.inf)
        gain = predicted_gain(candidate.predicted, self.state.criteria, self._correction(candidate))
        risk = Risk.HIGH if self._lossy_siblings(candidate) else candidate.predicted.risk
        return self._weighed(candidate, gain, min(SUCCESS[risk], self._chance(candidate)))

    def _weighed(self, candidate: CandidateRecord, gain: float, chance: float) -> Option:
        """The option with the chance that the candidate holds every limit."""
        improvement = chance * expected_improvement(gain, self.held, self._surprise(candidate))
        improvement *= minor(candidate.predicted)
        return Option(candidate, improvement / self._price(candidate), improvement, gain, chance)

    def _price(self, candidate: CandidateRecord) -> float:
        """What a candidate takes of what is left of the budgets, as a share: of the minutes, and of the candidates.

        While minutes are plenty, all cost about the same, and what improves most comes first; the fewer are left, the
        more the quick ones come first (cost cooling: Lee et al. 2020, arXiv:2003.10870).
        """
        minutes = max(1.0, self.time_left.needs_s(candidate)) / max(1.0, self.time_left.seconds)
        return minutes + 1 / max(1, self.state.criteria.budget.candidates - self.started)

    def _chance(self, candidate: CandidateRecord) -> float:
        """The chance that the predicted loss will be proven to be within the limit."""
        limit = planned_limit(self.state.criteria.constraints)
        return chance_to_hold(candidate.predicted.metric_drop_points, limit, self._extremes.get(kind_of(candidate), ()))

    def _largest_while_it_fits(self, options: list[Option]) -> list[Option]:
        """Puts the candidate that improves most before all others if there is no time, or no candidate of the budget,
        for it after the first one."""
        open_ = [option for option in options if math.isfinite(option.worth)]
        if not open_:
            return options
        first, largest = max(open_, key=lambda one: one.worth), max(open_, key=lambda one: one.improvement)
        places = self.state.criteria.budget.candidates - self.started
        if first is largest or (places > 1 and self.time_left.both_fit(first.candidate, largest.candidate)):
            return options
        return [replace(one, worth=first.worth * 2) if one is largest else one for one in options]

    def _one_at_a_time(self, ranked: Sequence[Option]) -> tuple[Option, ...]:
        """Of the candidates that are tried one at a time, only the next: one whose links are being made, or the most
        promising; none while one is being measured."""
        single = [one for one in ranked if not one.candidate.wanted and self._tried_alone(one.candidate)]
        going = any(trial.started and not trial.decided and self._tried_alone(trial.planned) for trial in self.trials)
        kept = next((one for one in single if self.waits(one.candidate)), single[0] if single else None)
        held_back = {one.candidate.key for one in single if going or one is not kept}
        return tuple(one for one in ranked if one.candidate.key not in held_back)

    def _tried_alone(self, candidate: CandidateRecord) -> bool:
        """Whether it is made only once no other such candidate is being measured."""
        return one_at_a_time(spec for link in candidate.steps if (spec := self.specs.get(link.technique)))

    def _before_what_it_judges(self, option: Option, options: list[Option]) -> Option:
        """Moves plain rounding to just before the first method that has to beat it, or to the front if one was
        tried."""
        clever = self._that_have_to_beat(option.candidate)
        if not clever:
            return option
        judged = [other.worth for other in options if self._has_to_beat(other.candidate, option.candidate)]
        if any(trial.started for trial in clever):
            return replace(option, worth=math.inf)
        return replace(option, worth=max(judged) * (1 + 1e-6)) if judged else option

    def _that_have_to_beat(self, plain: CandidateRecord) -> list[Trial]:
        return [trial for trial in self._clever if self._has_to_beat(trial.planned, plain)]

    @cached_property
    def _clever(self) -> tuple[Trial, ...]:
        """The candidates whose technique has a baseline to beat."""
        specs = ((trial, self.specs.get(trial.planned.technique)) for trial in self.trials)
        return tuple(trial for trial, spec in specs if spec is not None and spec.knowledge.baseline is not None)

    def _has_to_beat(self, clever: CandidateRecord, plain: CandidateRecord) -> bool:
        one, other = self.specs.get(plain.technique), self.specs.get(clever.technique)
        return bool(one and other and is_baseline(one, plain.parameters, other, clever.parameters))

    def _awaited_baseline(self, candidate: CandidateRecord) -> bool:
        """Whether a method that has to beat `candidate` was tried or is worth trying. `candidate` is then measured
        too."""
        clever = self._that_have_to_beat(candidate)
        return any(trial.started or self.passed_over(trial) is None for trial in clever)

    def passed_over(self, trial: Trial) -> str | None:
        """Why a planned candidate that was not started is not worth starting now; `None` if it is."""
        if trial.key not in self._passed_over:
            self._passed_over[trial.key] = self._why_passed_over(trial)
        return self._passed_over[trial.key]

    @cached_property
    def _passed_over(self) -> dict[str, str | None]:
        """The answers so far: several rules ask for the same candidate."""
        return {}

    def _why_passed_over(self, trial: Trial) -> str | None:
        candidate, criteria = trial.planned, self.state.criteria
        if reason := self._barred(trial):
            return reason
        if candidate.wanted or is_measured(candidate, self.state):
            return None
        if self._is_new_type_choice(candidate) or self._awaited_baseline(candidate):
            return None
        if self._awaited_float_model(candidate):
            return None
        if lost := self._collapsed_siblings(candidate):
            return f"Left out: {' and '.join(lost)}, which quantize the same operators, lost far too much."
        if broken := self._broken_limit(candidate):
            return broken
        if trial.key in self._owed:
            return None
        correction, known, surprise = self._correction(candidate), self._measured(candidate), self._surprise(candidate)
        hope = optimistic_gain(candidate.predicted, criteria, correction if known else None, surprise)
        if hope > self.bar * (REAL_CHANGE if self.judged else 1.0) or self._insures(candidate, hope):
            return None
        leader = best(self.judged)
        against = f"{leader} ranks with {self.judged[leader].score:.2f}" if leader else "the original has 1"
        return f"Left out: its score is at best {hope:.2f}{_corrected(correction)}, but {against}."

    def _insures(self, candidate: CandidateRecord, hope: float) -> bool:
        """Whether a candidate is worth trying that cannot beat the leader, because the leader may fail when it is
        judged."""
        chance = min(SUCCESS[candidate.predicted.risk], self._chance(candidate))
        more = sum(probability * max(0.0, math.log(hope / score)) for score, probability in self.held)
        return chance * more > INSURANCE

    def _barred(self, trial: Trial) -> str | None:
        """Why a candidate that was not started cannot be made; `None` if it can."""
        candidate = trial.planned
        reason = self._cannot_run(candidate.technique) or self.lost_link(trial)
        if reason := reason or self.time_left.too_long_training(candidate):
            return reason
        for link in candidate.essential_links:
            if reason := self.unavailable(link.technique):
                return f"Left out: {link.title}, which comes before it: {reason}"
        return None

    def _broken_limit(self, candidate: CandidateRecord) -> str | None:
        """Why it breaks a limit even if it is better than predicted; `None` if it may hold all."""
        correction = self._correction(candidate)
        profile = self.bases.profile(self.specs[candidate.technique])
        broken = obstacle(candidate.predicted, profile, self.state.criteria, correction, self._surprise(candidate))
        return f"Left out: {broken}{_corrected(correction)}." if broken else None

    @cached_property
    def _owed(self) -> frozenset[str]:
        """Keys of candidates that the criteria require: of each required technique without a candidate that is
        measured or on its way, the most promising one that can be made and may hold the limits."""
        open_ = [trial for trial in self.trials if not trial.started]
        found: set[str] = set()
        for technique in self.state.criteria.required_techniques:
            if any(one.started and one.failed_step is None and one.planned.applies(technique) for one in self.trials):
                continue
            able = [
                one
                for one in open_
                if one.planned.applies(technique) and not self._barred(one) and not self._broken_limit(one.planned)
            ]
            if able:
                found.add(max(able, key=lambda one: self._option(one.planned).improvement).key)
        return frozenset(found)

    def _cannot_run(self, technique: str) -> str | None:
        if reason := self.unavailable(technique):
            return f"Left out: {reason}"
        attempts = self._attempts.get(technique, ())
        failures = sum(step.status is Status.FAILED for step in attempts)
        if failures >= FAILURES_END_TECHNIQUE and not any(step.status is Status.COMPLETED for step in attempts):
            return f"Left out: {self.specs[technique].label} failed {failures} times in this session and never worked."
        return None

    @cached_property
    def _attempts(self) -> Mapping[str, list[StepRecord]]:
        """By technique: the steps that made its candidates."""
        found: dict[str, list[StepRecord]] = defaultdict(list)
        for trial in self.trials:
            if trial.optimize is not None:
                found[trial.planned.technique].append(trial.optimize)
        return found

    # --- repairs -----------------------------------------------------------------------------------------------------

    @cached_property
    def chains(self) -> tuple[tuple[Trial, ...], ...]:
        """The roots that were started, each with its repairs."""
        by_root: dict[str, list[Trial]] = defaultdict(list)
        for trial in self.trials:
            by_root[trial.root].append(trial)
        roots = [trial.key for trial in self.trials if trial.started and trial.root == trial.key]
        return tuple(tuple(by_root[root]) for root in roots)

    def repair_of(self, chain: tuple[Trial, ...]) -> Repair | Stop | None:
        """The next repair of a chain, or why it ends; `None` while one of its candidates is undecided."""
        key = chain[0].key
        if key not in self._repairs:
            self._repairs[key] = self._repair_of(chain)
        return self._repairs[key]

    @cached_property
    def _repairs(self) -> dict[str, Repair | Stop | None]:
        """The answers so far."""
        return {}

    def _repair_of(self, chain: tuple[Trial, ...]) -> Repair | Stop | None:
        if not all(trial.decided for trial in chain):
            return None
        planned = chain[0].planned
        if self._tried_alone(planned):
            return Stop(f"{planned.key} is not repaired: candidates of which less is cut are tried in its place.")
        spec = self.specs[planned.technique]
        attempts = tuple(trial.attempt() for trial in chain)
        repairable = chain[-1].failed_step is not None or any(one.judgement and one.repairable for one in attempts)
        rivals = self._measured(planned) if repairable else []
        others = tuple(trial.attempt() for trial in rivals if trial.root != chain[0].root)
        profile, criteria = self.bases.profile(spec), self.state.criteria
        return next_repair(attempts, spec, profile, criteria, self.bar, others, self.knowledge)

    def _repair_option(self, chain: tuple[Trial, ...]) -> Option | None:
        technique = chain[0].planned.technique
        repair = self.repair_of(chain)
        if not isinstance(repair, Repair) or self._cannot_run(technique):
            return None
        key = f"{chain[0].key}r{len(chain)}"
        spec, criteria, before = self.specs[technique], self.state.criteria, chain[-1].planned
        record = repair_record(
            key, before, spec, repair.parameters, repair.reason, self.bases, self.minutes, self.knowledge
        )
        gain = predicted_gain(repair.prediction, criteria, repair.correction)
        return self._weighed(record, gain, SUCCESS[Risk.MEDIUM])


def _corrected(correction: tuple[float, float]) -> str:
    return "" if correction == (1.0, 1.0) else " after the measurements of similar candidates"
