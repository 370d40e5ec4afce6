"""What is worth trying next in a session with a plan: candidates, shared links and repairs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from apps.agents.contracts.chain import Chain, key_of, sources
from apps.agents.contracts.errors.techniques import TechniqueNoEffect
from apps.agents.contracts.loss_limits import planned_limit
from apps.agents.contracts.state import CandidateRecord, Status, StepRecord
from apps.agents.evaluation.selection import REAL_CHANGE, best
from apps.agents.planning.baseline import is_baseline
from apps.agents.planning.choosing import TYPE_CHOICES, type_choice
from apps.agents.planning.experience import MOSTLY
from apps.agents.planning.ordering import (
    COLLAPSE_POINTS,
    KNOWN_SURPRISE,
    comes_last,
    in_time,
    obstacle,
    optimistic_gain,
    predicted_gain,
    surprise_of,
    worth,
)
from apps.agents.planning.repair import Repair, Stop, next_repair
from apps.agents.session.candidates import Trial, repair_record
from apps.agents.session.earlier import is_measured
from apps.agents.session.overview import Overview
from apps.agents.techniques.catalogue import Family, Risk
from apps.agents.techniques.knowledge.cost import MINUTES, STEPS

_Kind = tuple[str, tuple[str, ...]]
NO_EFFECT = TechniqueNoEffect.code
FLOAT_MODELS_UNTIL = 0.5
"""After this share of a session's minutes, float models are no longer measured only for comparison."""
LONG_TRAINING = 3.0
"""Minutes of training before which a quick candidate is measured."""
FAILURES_END_TECHNIQUE = 3
"""A technique that failed this often and never worked is not tried again in the session."""


@dataclass(frozen=True)
class Option:
    """A candidate that could be started now, and its worth."""

    candidate: CandidateRecord
    worth: float


@dataclass(frozen=True)
class Shared:
    """First links that several candidates share. They are applied once for all of them."""

    chain: Chain
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class Search(Overview):
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

    def _lost_link(self, trial: Trial) -> str | None:
        """Why a shared link of a candidate could not be applied; `None` if all could, or have not been tried yet."""
        chain = trial.planned.steps
        for part in (*sources(chain), *([chain] if trial.shared else ())):
            if (step := self.steps.lost(part)) is None:
                continue
            title = part[-1].title
            if part != chain:
                return f"Left out: {title}, which comes before it, failed."
            if step.error_code == NO_EFFECT:
                return f"Left out: {title} has nothing to change in this model."
            return f"Left out: {title} failed already for other candidates that start with it."
        return None

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
        return Option(option.candidate, max(option.worth, max(held) * (1 + 2e-6)))

    # --- options -----------------------------------------------------------------------------------------------------

    @cached_property
    def options(self) -> tuple[Option, ...]:
        """Candidates worth starting now, the most promising first."""
        options = [
            Option(trial.planned, self._worth(trial.planned))
            for trial in self.trials
            if not trial.started and self.passed_over(trial) is None
        ]
        options += [option for chain in self.chains if (option := self._repair_option(chain)) is not None]
        options = [self._before_what_it_judges(option, options) for option in options]
        options = [self._before_what_starts_from_it(option, options) for option in options]
        ranked = self._quick_first(sorted(options, key=lambda option: (-option.worth, option.candidate.key)))
        if known := tuple(option for option in ranked if is_measured(option.candidate, self.state)):
            return known
        plain = tuple(one for one in ranked if one.candidate.wanted or not self._tried_last(one.candidate))
        if owed := tuple(option for option in ranked if option.candidate.key in self._owed):
            return (*owed, *(one for one in plain if one not in owed))
        going = any(trial.started and not trial.decided and self._tried_last(trial.planned) for trial in self.trials)
        if plain and ranked[0] not in plain and not going and self._is_short_of_time(plain):
            return (ranked[0], *plain)
        return plain or (() if going else tuple(ranked[:1]))

    def _is_short_of_time(self, options: Sequence[Option]) -> bool:
        """Whether the minutes that are left are too few for all of these, so that what is tried last might never be.

        What candidates took so far counts, and the prediction before one is measured.
        """
        minutes = self.state.criteria.budget.minutes
        left_s = 60 * minutes - self.state.worked_s - self.judging_s
        if not self.judged:
            return sum(60 * (option.candidate.predicted.minutes or 0.0) for option in options) > left_s
        return self.candidate_s * len(options) > left_s

    def _quick_first(self, ranked: list[Option]) -> list[Option]:
        """Moves the best candidate without training to the front, until one was measured, if a long training would be
        the first: should the training be in vain, the session has a result all the same. Whoever allows only one
        candidate gets the best."""
        if not ranked or _training_minutes(ranked[0].candidate) < LONG_TRAINING:
            return ranked
        quick = [one for one in ranked if not _training_minutes(one.candidate) and self._narrows(one.candidate)]
        tried = any(trial.started and not _training_minutes(trial.planned) for trial in self.trials)
        if tried or not quick or self.state.criteria.budget.candidates - self.started < 2:
            return ranked
        return [quick[0], *(one for one in ranked if one is not quick[0])]

    def _narrows(self, candidate: CandidateRecord) -> bool:
        """Whether it is quantized."""
        return self.specs[candidate.technique].family is Family.QUANTIZATION

    def _tried_last(self, candidate: CandidateRecord) -> bool:
        """Whether a candidate is tried after all others. Of those, each is measured before the next is made."""
        return comes_last(spec for link in candidate.steps if (spec := self.specs.get(link.technique)))

    def _before_what_it_judges(self, option: Option, options: list[Option]) -> Option:
        """Moves plain rounding to just before the first method that has to beat it, or to the front if one was
        tried."""
        clever = self._that_have_to_beat(option.candidate)
        if not clever:
            return option
        judged = [other.worth for other in options if self._has_to_beat(other.candidate, option.candidate)]
        if any(trial.started for trial in clever):
            return Option(option.candidate, math.inf)
        return Option(option.candidate, max(judged) * (1 + 1e-6)) if judged else option

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
        if hope > self.bar * (REAL_CHANGE if self.judged else 1.0):
            return None
        leader = best(self.judged)
        against = f"{leader} ranks with {self.judged[leader].score:.2f}" if leader else "the original has 1"
        return f"Left out: its score is at best {hope:.2f}{_corrected(correction)}, but {against}."

    def _barred(self, trial: Trial) -> str | None:
        """Why a candidate that was not started cannot be made; `None` if it can."""
        candidate = trial.planned
        if reason := self._cannot_run(candidate.technique) or self._lost_link(trial) or self._no_time_for(candidate):
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

    def _surprise(self, candidate: CandidateRecord) -> float:
        return KNOWN_SURPRISE if self._is_known_choice(candidate) else surprise_of(candidate.predicted)

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
                found.add(max(able, key=lambda one: self._worth(one.planned)).key)
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

    def _no_time_for(self, candidate: CandidateRecord) -> str | None:
        """Why its training is not begun: it takes as many minutes as it is given, and fewer are left."""
        chain, budget = candidate.steps, self.state.criteria.budget.minutes
        new = [link for place, link in enumerate(chain, 1) if self.steps.made(chain[:place]) is None]
        asked = sum(float(one.parameters.get(MINUTES, 0)) for one in new if not one.parameters.get(STEPS))
        left = budget - self.state.worked_s / 60
        if asked <= max(0.0, left) or not asked:
            return None
        return f"Left out: its training takes {asked:g} minutes, and {max(0.0, left):.1f} of {budget:g} are left."

    def _is_new_type_choice(self, candidate: CandidateRecord) -> bool:
        """Whether it is a new choice of number types, and fewer than `TYPE_CHOICES` were measured.

        Where earlier sessions make most of its prediction, it has been tried on this kind of network and machine.
        """
        if candidate.predicted.experience >= MOSTLY:
            return False
        choice = self._type_choice(candidate)
        return choice is not None and choice not in self._choices and len(self._choices) < TYPE_CHOICES

    def _type_choice(self, candidate: CandidateRecord) -> tuple[str, ...] | None:
        return type_choice(self.specs.get(candidate.technique), candidate.parameters)

    def _is_known_choice(self, candidate: CandidateRecord) -> bool:
        return self._type_choice(candidate) in self._known_choices

    @cached_property
    def _known_choices(self) -> frozenset[tuple[str, ...] | None]:
        """Number types of measured candidates."""
        return frozenset(self._type_choice(trial.planned) for trial in self.trials if trial.judgement)

    @cached_property
    def _choices(self) -> frozenset[tuple[str, ...]]:
        """Number types that were measured or are being measured."""
        going = [trial for trial in self.trials if trial.started and trial.failed_step is None]
        return frozenset(choice for trial in going if (choice := self._type_choice(trial.planned)))

    def _correction(self, candidate: CandidateRecord) -> tuple[float, float]:
        """The mean of measured over predicted speed-up and size ratio, over measured candidates of the same kind."""
        kind = _kind(candidate)
        if kind not in self._corrections:
            self._corrections[kind] = self._corrected(self._measured(candidate))
        return self._corrections[kind]

    @cached_property
    def _corrections(self) -> dict[_Kind, tuple[float, float]]:
        """The answers so far."""
        return {}

    def _corrected(self, measured: Sequence[Trial]) -> tuple[float, float]:
        return (
            _mean_ratio([trial.speedup / trial.planned.predicted.speedup for trial in measured]),
            _mean_ratio([trial.size_ratio / trial.planned.predicted.size_ratio for trial in measured]),
        )

    def _measured(self, candidate: CandidateRecord) -> list[Trial]:
        """The measured candidates of the same kind: the same technique, after the same ones that cut weights."""
        return self._by_kind.get(_kind(candidate), [])

    @cached_property
    def _by_kind(self) -> Mapping[_Kind, list[Trial]]:
        found: dict[_Kind, list[Trial]] = defaultdict(list)
        for trial in self.trials:
            if trial.judgement:
                found[_kind(trial.planned)].append(trial)
        return found

    def _worth(self, candidate: CandidateRecord) -> float:
        """Infinite for what a member pinned or added, which is tried in the order of the plan."""
        if candidate.wanted:
            return math.inf
        gain = predicted_gain(candidate.predicted, self.state.criteria, self._correction(candidate))
        risk = Risk.HIGH if self._lossy_siblings(candidate) else candidate.predicted.risk
        found = worth(gain, candidate.predicted, self.specs[candidate.technique], risk)
        return in_time(found, candidate.predicted, self.state.criteria)

    def _lossy_siblings(self, candidate: CandidateRecord) -> list[Trial]:
        """Candidates that quantize the same operators with the same technique and lost too much."""
        return self._lossy.get(self._scope(candidate), [])

    @cached_property
    def _lossy(self) -> Mapping[Hashable, list[Trial]]:
        """The candidates that lost too much, by what they quantize."""
        found: dict[Hashable, list[Trial]] = defaultdict(list)
        for trial in self.trials:
            if trial.judgement and trial.judgement.loses_metric and trial.planned.technique in self.specs:
                found[self._scope(trial.planned)].append(trial)
        return found

    def _scope(self, candidate: CandidateRecord) -> Hashable:
        """Equal for candidates that change the same operators of the same network with the same technique."""
        earlier = candidate.essential_links
        network = self.steps.chain_key(earlier) if earlier else ""
        return candidate.technique, network, self.specs[candidate.technique].knowledge.scope(candidate.parameters)

    def _collapsed_siblings(self, candidate: CandidateRecord) -> list[str]:
        """Keys of such candidates that lost several times the limit, if there are at least `TYPE_CHOICES`; else empty.

        Another number type cannot repair such a loss.
        """
        limit = planned_limit(self.state.criteria.constraints)
        if limit is None:
            return []
        hopeless = max(COLLAPSE_POINTS, COLLAPSE_POINTS * limit)
        keys = [trial.key for trial in self._lossy_siblings(candidate) if trial.attempt().drop_points > hopeless]
        return keys if len(keys) >= TYPE_CHOICES else []

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
        if self._tried_last(planned):
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
        return Option(record, worth(gain, record.predicted, spec, Risk.MEDIUM))


def _kind(candidate: CandidateRecord) -> _Kind:
    """The techniques that make a candidate, without those that keep the network."""
    return candidate.technique, tuple(link.technique for link in candidate.essential_links)


def _training_minutes(candidate: CandidateRecord) -> float:
    """Of all trainings in its chain."""
    return sum(float(one.parameters.get(MINUTES, 0)) for one in candidate.steps if not one.parameters.get(STEPS))


def _mean_ratio(ratios: list[float]) -> float:
    """The geometric mean, limited to the range from 0.5 to 2, so that one surprise does not overturn all
    predictions."""
    if not ratios:
        return 1.0
    mean = math.exp(sum(math.log(max(ratio, 1e-6)) for ratio in ratios) / len(ratios))
    return min(2.0, max(0.5, mean))


def _corrected(correction: tuple[float, float]) -> str:
    return "" if correction == (1.0, 1.0) else " after the measurements of similar candidates"
