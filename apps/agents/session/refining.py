"""When a session refines, and what: the parameters of the most promising chain vary around what was measured.

The proposals are made by a step of their own, in a child process: the sampler needs a library that the process of the
manager never loads. The step's parameters contain every measurement that it may use. Its proposals become candidates
like planned ones (`apps.agents.session.refined`), with the same limits, repairs and verdicts.

A chain is refined if one of its candidates leads and a number may still gain more, or if one misses only the limit on
the metric and ranks higher than all that are accepted (`apps.agents.session.brackets`). A round is over when all its
candidates are decided. Another follows only if the last one gained.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from apps.agents.contracts.chain import Chain, input_keys
from apps.agents.contracts.loss_limits import planned_limit
from apps.agents.contracts.phrasing import listed
from apps.agents.contracts.refinement import SAMPLING_LIBRARY, Dimension, Observed, RefineParameters, Setting
from apps.agents.contracts.state import ACTIVE, StepKind, StepRequest
from apps.agents.evaluation.selection import REAL_CHANGE, Judgement
from apps.agents.planning.dimensions import Dimensions, setting_of, with_setting
from apps.agents.planning.ordering import COLLAPSE_POINTS, predicted_gain
from apps.agents.session.brackets import Bracketing
from apps.agents.session.candidates import Trial
from apps.agents.session.refined import Refined
from apps.agents.session.search import Search
from apps.agents.session.steps import LOST

MOST_ROUNDS = 3
"""Rounds for one chain."""
FEWEST_PROPOSALS, MOST_PROPOSALS = 2, 8
"""Candidates of a round: as many as workers are free, within these bounds."""


@dataclass(frozen=True)
class Group:
    """The candidates that differ only in parameters that a refinement may vary."""

    signature: str
    dimensions: tuple[Dimension, ...]
    trials: tuple[Trial, ...]
    rounds: tuple[Refined, ...]
    """The refine steps about them."""

    @property
    def measured(self) -> tuple[Trial, ...]:
        return tuple(trial for trial in self.trials if trial.judgement is not None)

    @property
    def best(self) -> float:
        """The best score of an accepted one; 1, the original's, if none is."""
        scores = (one.score for trial in self.measured if (one := trial.judgement) is not None and one.accepted)
        return max(scores, default=1.0)


@dataclass(frozen=True)
class Refining:
    """The refinements of a session. Everything follows from the state that `search` reads."""

    search: Search

    @cached_property
    def possible(self) -> bool:
        """Whether a worker can propose, and no proposal has failed."""
        lost = any(one.step.status in LOST for one in self.search.refinements)
        return SAMPLING_LIBRARY in self.search.state.libraries and not lost

    @cached_property
    def _dimensions(self) -> Dimensions:
        return Dimensions(self.search.specs)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The chains that have parameters to vary, each with all its candidates."""
        trials: dict[str, list[Trial]] = defaultdict(list)
        dimensions: dict[str, tuple[Dimension, ...]] = {}
        for trial in self.search.trials:
            chain = trial.planned.steps
            if found := self._dimensions.of(chain):
                signature = _signature(chain, found)
                dimensions[signature] = found
                trials[signature].append(trial)
        rounds: dict[str, list[Refined]] = defaultdict(list)
        for one in self.search.refinements:
            around = one.parameters.around.steps
            rounds[_signature(around, self._dimensions.of(around))].append(one)
        return tuple(Group(key, dimensions[key], tuple(trials[key]), tuple(rounds[key])) for key in dimensions)

    # --- the next step -----------------------------------------------------------------------------------------------

    def request(self, free: int) -> StepRequest | None:
        """The step that refines the most promising chain for `free` workers; `None` if none is worth it now."""
        left = self.search.state.criteria.budget.candidates - self.search.started
        if not self.possible or left <= 0 or any(one.step.status in ACTIVE for one in self.search.refinements):
            return None
        time_left = self.search.time_left
        settled = ((group, self._centre(group)) for group in self.groups if self._is_settled(group))
        around = [(trial, group) for group, trial in settled if trial is not None]
        ready = [(trial, group) for trial, group in around if time_left.is_enough_for(time_left.anew_s(trial.planned))]
        if not ready:
            return None
        # The highest score first; of equal ones, the one that takes the least time.
        centre, group = min(ready, key=lambda item: (-_score(item[0]), item[0].planned.predicted.minutes or 0.0))
        return self._request(group, centre, min(left, MOST_PROPOSALS, max(FEWEST_PROPOSALS, free)))

    def _request(self, group: Group, centre: Trial, count: int) -> StepRequest:
        dimensions = self._narrowed(group, centre)
        trials = tuple(self._comparable(group, centre, dimensions))
        parameters = RefineParameters(
            around=centre.planned,
            dimensions=dimensions,
            observed=tuple(self._observed(trials, dimensions)),
            known=tuple(setting_of(trial.planned.steps, dimensions) for trial in trials),
            count=count,
            best=round(group.best, 6),
        )
        return StepRequest(
            key=f"refine/{len(self.search.refinements) + 1}",
            kind=StepKind.REFINE,
            queue="cpu",
            reason=_why(dimensions, centre),
            parameters=parameters.model_dump(mode="json"),
        )

    # --- which chains ------------------------------------------------------------------------------------------------

    def _centre(self, group: Group) -> Trial | None:
        """The candidate that is worth refining; `None` if the group has none or was refined enough."""
        if self._is_exhausted(group):
            return None
        worthwhile = sorted(filter(self._is_promising, group.measured), key=_score, reverse=True)
        return next((trial for trial in worthwhile if self._narrowed(group, trial)), None)

    def _is_promising(self, trial: Trial) -> bool:
        judgement = trial.judgement
        if judgement is None or judgement.accepted:
            return judgement is not None and judgement.score * REAL_CHANGE > self.search.bar
        return judgement.only_loses_metric and self._is_near(trial) and judgement.score > self.search.bar * REAL_CHANGE

    def _is_near(self, trial: Trial) -> bool:
        """Whether it does not lose so much that no parameter will help."""
        limit = planned_limit(self.search.state.criteria.constraints)
        return limit is None or trial.attempt().drop_points <= max(COLLAPSE_POINTS, COLLAPSE_POINTS * limit)

    def _is_exhausted(self, group: Group) -> bool:
        """Whether another round is not worth it: there were enough, or the last one gained nothing."""
        if not group.rounds:
            return False
        last = group.rounds[-1]
        found = last.result
        empty = found is not None and not found.proposals
        gained = group.best > last.parameters.best * REAL_CHANGE
        return len(group.rounds) >= MOST_ROUNDS or empty or (self._is_settled(group) and not gained)

    def _is_settled(self, group: Group) -> bool:
        """Whether each of its candidates is decided, or is not worth starting any more."""
        return all(
            trial.decided or (not trial.started and self.search.passed_over(trial) is not None)
            for trial in group.trials
        )

    def _narrowed(self, group: Group, centre: Trial) -> tuple[Dimension, ...]:
        def gain(setting: Setting) -> float:
            chain = with_setting(centre.planned.steps, group.dimensions, setting, self.search.specs)
            predicted = self.search.refined_candidates.predicted(centre.planned, chain)
            return predicted_gain(predicted, self.search.state.criteria)

        return Bracketing(centre, group.measured, group.dimensions, gain).narrowed

    def _comparable(self, group: Group, centre: Trial, dimensions: tuple[Dimension, ...]) -> Iterator[Trial]:
        """The candidates that have the values of `centre` in every dimension that does not vary."""
        fixed = tuple(one for one in group.dimensions if one.name not in {varied.name for varied in dimensions})
        here = setting_of(centre.planned.steps, fixed)
        yield from (trial for trial in group.trials if setting_of(trial.planned.steps, fixed) == here)

    def _observed(self, trials: Iterable[Trial], dimensions: tuple[Dimension, ...]) -> Iterator[Observed]:
        """The measurements within the brackets."""
        for trial in trials:
            report, setting = trial.report, setting_of(trial.planned.steps, dimensions)
            if report is None or not all(one.holds(setting[one.name]) for one in dimensions):
                continue
            yield Observed(
                candidate=trial.key,
                setting=setting,
                objectives=self._objectives(trial),
                beyond={verdict.key: round(-verdict.margin, 6) for verdict in report.constraints},
            )

    def _objectives(self, trial: Trial) -> dict[str, float]:
        """What the criteria weigh, and the drop, which every session watches."""
        report, weights = trial.report, self.search.state.criteria.exponents
        assert report is not None, "measured"
        ratios = {
            "speedup": (weights.latency, report.latency.speedup.value),
            "size": (weights.size, report.counted_bytes.ratio),
            "memory": (weights.memory, report.peak_memory_bytes.ratio),
        }
        gains = {name: round(math.log(max(ratio, 1e-9)), 6) for name, (weight, ratio) in ratios.items() if weight > 0}
        return {**gains, "drop": round(report.primary.drop.value, 6)}

    # --- files -------------------------------------------------------------------------------------------------------

    def may_follow(self) -> Iterator[Chain]:
        """The chains from whose links refinements may still start."""
        if not self.possible or self.search.state.criteria.budget.candidates <= self.search.started:
            return
        for group in self.groups:
            if not self._is_exhausted(group) and (self._centre(group) or not self._is_settled(group)):
                yield from (trial.planned.steps for trial in group.trials if trial.started)


def _why(dimensions: tuple[Dimension, ...], centre: Trial) -> str:
    judgement = centre.judgement
    assert judgement is not None, "only measured candidates are refined"
    names = listed([_in_words(one) for one in dimensions])
    standing = "holds every limit as measured" if judgement.accepted else "misses only the limit on the metric"
    return (
        f"Proposes further candidates like {centre.key}, with parameters between those that were measured. "
        f"{centre.key} {standing} and scores {judgement.score:.2f}. What varies: {names}."
    )


def _in_words(one: Dimension) -> str:
    """`macs removed from 0.5 to 0.6`, `per channel`."""
    name = one.parameter.replace("_", " ")
    return f"{name} from {one.low:g} to {one.high:g}" if one.numeric else name


def _score(trial: Trial) -> float:
    judgement: Judgement | None = trial.judgement
    return judgement.score if judgement is not None else 0.0


def _signature(chain: Chain, dimensions: tuple[Dimension, ...]) -> str:
    """Equal for chains that differ only in these dimensions."""
    varied: Mapping[int, set[str]] = defaultdict(set)
    for one in dimensions:
        varied[one.link].add(one.parameter)
    fixed = [
        [link.technique, link.parameters | dict.fromkeys(varied[place]), input_keys(link)]
        for place, link in enumerate(chain)
    ]
    return json.dumps(fixed, sort_keys=True)
