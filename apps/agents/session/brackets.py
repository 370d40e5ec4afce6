"""Where a refinement looks: between the last value that holds every limit and the first that does not.

A number of which more gains more is bracketed like that, so nothing is proposed that gains less than what was accepted,
or loses more than what was rolled back. A number that changes no gain varies only if the metric is the obstacle. So do
choices: the plan lists all of them, and weighs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from apps.agents.contracts.refinement import Dimension, Setting
from apps.agents.evaluation.selection import REAL_CHANGE
from apps.agents.planning.dimensions import setting_of
from apps.agents.planning.ordering import KNOWN_SURPRISE
from apps.agents.session.candidates import Trial

NARROWEST = 0.02
"""A bracket narrower than this share of a parameter's range is not divided further."""


@dataclass(frozen=True)
class Bracketing:
    """Narrows the dimensions of a chain around a candidate."""

    centre: Trial
    measured: Sequence[Trial]
    """The measured candidates that differ only in the dimensions."""
    dimensions: tuple[Dimension, ...]
    gain: Callable[[Setting], float]
    """The predicted gain of a chain with this setting."""

    @property
    def narrowed(self) -> tuple[Dimension, ...]:
        """The dimensions that are worth varying, each within its bracket; empty if there are none."""
        return tuple(self._narrowed())

    def _narrowed(self) -> Iterator[Dimension]:
        for one in self.dimensions:
            found = self._bracket(one) if one.numeric else self._choices(one)
            if found is not None:
                yield found

    def _bracket(self, one: Dimension) -> Dimension | None:
        growth = self._growth(one)
        if growth == 0:
            return None if self._holds(self.centre) else one
        here, inner, outer = self._value(self.centre, one), *((one.low, one.high)[::growth])
        beside = [trial for trial in self.measured if self._differs_only_in(trial, one)]
        if self._holds(self.centre):
            inner = here
            lossy = [self._value(trial, one) for trial in beside if not self._holds(trial)]
            outer = min((growth * value for value in lossy if growth * value > growth * here), default=growth * outer)
            outer *= growth
        else:
            outer = here
            sound = [self._value(trial, one) for trial in beside if self._holds(trial)]
            inner = max((growth * value for value in sound if growth * value < growth * here), default=growth * inner)
            inner *= growth
        low, high = sorted((inner, outer))
        narrow = high - low <= max(NARROWEST * (one.high - one.low), one.step or 0)
        return None if narrow else one.model_copy(update={"low": low, "high": high})

    def _choices(self, one: Dimension) -> Dimension | None:
        """The choices that are not predicted to gain less."""
        if self._holds(self.centre):
            return None
        setting = setting_of(self.centre.planned.steps, self.dimensions)
        least = self.gain(setting) / KNOWN_SURPRISE
        left = tuple(value for value in one.choices if self.gain(setting | {one.name: value}) >= least)
        return one.model_copy(update={"choices": left}) if len(left) > 1 else None

    def _growth(self, one: Dimension) -> int:
        """1 if more of it gains more, −1 if less of it does, 0 if neither makes a difference."""
        setting = setting_of(self.centre.planned.steps, self.dimensions)
        low, high = (self.gain(setting | {one.name: value}) for value in (one.low, one.high))
        if max(low, high) <= min(low, high) * REAL_CHANGE:
            return 0
        return 1 if high > low else -1

    def _differs_only_in(self, trial: Trial, one: Dimension) -> bool:
        settings = [setting_of(some.planned.steps, self.dimensions) for some in (trial, self.centre)]
        first, second = ({name: value for name, value in some.items() if name != one.name} for some in settings)
        return first == second

    def _value(self, trial: Trial, one: Dimension) -> float:
        return float(setting_of(trial.planned.steps, (one,))[one.name])

    def _holds(self, trial: Trial) -> bool:
        return trial.judgement is not None and trial.judgement.accepted
