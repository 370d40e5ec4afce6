"""Trials of a search: which sub-networks to try next, and which of those tried no other one beats.

Optuna proposes a batch at a time. Its study is built anew for each batch, from the trials and a seed alone, so a search
that goes on from a checkpoint tries the same as one that was never interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from apps.agents.techniques.architecture.space import Space, Values

if TYPE_CHECKING:
    import optuna

NSGA2, TPE = "nsga2", "tpe"
SAMPLERS = (NSGA2, TPE)
DRAWS = 12
"""How often a sampler is asked for each trial, as it may repeat what is known."""
_OBJECTIVES = 3


@dataclass(frozen=True)
class Trial:
    """One sub-network and its score card."""

    values: Values
    loss: float
    """On the held-out slice of the training part, with the supernet's weights."""
    latency_ms: float
    """By the table."""
    parameters: int
    macs: int
    accuracy: float | None = None
    """Per cent of the held-out examples; `None` if the task has none."""

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "values": list(self.values)}

    @classmethod
    def read(cls, plain: dict[str, Any]) -> Self:
        """What `plain` wrote."""
        return cls(**{**plain, "values": tuple(plain["values"])})

    @property
    def objectives(self) -> tuple[float, float, float]:
        """All are to be small."""
        return self.loss, self.latency_ms, float(self.parameters)


@dataclass(frozen=True)
class Proposer:
    """Proposes batches. `limit_ms` is the most that a network found may take."""

    space: Space
    sampler: str
    """One of `SAMPLERS`."""
    limit_ms: float
    batch: int
    seed: int

    def propose(self, trials: Sequence[Trial]) -> list[Values]:
        """At most `batch` sub-networks that were not tried, from what some `trials` have shown."""
        tried = {one.values for one in trials}
        study, found = self._study(trials), []
        for _ in range(DRAWS * self.batch):
            trial = study.ask(self._distributions)
            places = (trial.params[str(place)] for place in range(len(self.space.dimensions)))
            pairs = zip(self.space.dimensions, places, strict=True)
            values = self.space.plain(tuple(one.options[place] for one, place in pairs))
            if values not in tried:
                tried.add(values)
                found.append(values)
            if len(found) == self.batch:
                break
        return found

    @property
    def _distributions(self) -> dict[str, optuna.distributions.BaseDistribution]:
        """Each dimension by its place; the values are places among its options, which are ordered."""
        import optuna

        return {
            str(place): optuna.distributions.IntDistribution(0, len(one.options) - 1)
            for place, one in enumerate(self.space.dimensions)
        }

    def _study(self, trials: Sequence[Trial]) -> optuna.Study:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(directions=["minimize"] * _OBJECTIVES, sampler=self._sampler(len(trials)))
        for number, one in enumerate(trials):
            places = {
                str(place): dimension.options.index(value)
                for place, (dimension, value) in enumerate(zip(self.space.dimensions, one.values, strict=True))
            }
            study.add_trial(
                optuna.trial.create_trial(
                    params=places,
                    distributions=self._distributions,
                    values=list(one.objectives),
                    system_attrs={"NSGAIISampler:generation": number // self.batch},
                    constraints={"latency": one.latency_ms / self.limit_ms - 1},
                )
            )
        return study

    def _sampler(self, tried: int) -> optuna.samplers.BaseSampler:
        import optuna

        seed = self.seed * 1_000_003 + tried
        if self.sampler == NSGA2:
            return optuna.samplers.NSGAIISampler(population_size=self.batch, seed=seed % 2**32)
        return optuna.samplers.TPESampler(
            n_startup_trials=self.batch, multivariate=True, constant_liar=True, seed=seed % 2**32
        )


def front(trials: Sequence[Trial]) -> list[Trial]:
    """Those that no other one beats, the fastest first."""
    found = [one for one in trials if not any(_beats(other, one) for other in trials)]
    return sorted(found, key=lambda one: (one.latency_ms, one.loss))


def finalists(trials: Sequence[Trial], limit_ms: float, count: int) -> list[Trial]:
    """The `count` with the lowest loss among those within the limit, the best first; if there is none, the fastest."""
    within = sorted((one for one in trials if one.latency_ms <= limit_ms), key=lambda one: (one.loss, one.latency_ms))
    return within[:count] or sorted(trials, key=lambda one: one.latency_ms)[:1]


def rank_correlation(left: Sequence[float], right: Sequence[float]) -> float | None:
    """Spearman's, between -1 and 1; `None` for fewer than three pairs, or if one side is constant."""
    if len(left) < 3 or len(set(left)) < 2 or len(set(right)) < 2:
        return None
    import numpy as np

    ranks = [np.argsort(np.argsort(side)).astype(np.float64) for side in (left, right)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _beats(one: Trial, other: Trial) -> bool:
    pairs = list(zip(one.objectives, other.objectives, strict=True))
    return all(mine <= theirs for mine, theirs in pairs) and any(mine < theirs for mine, theirs in pairs)
