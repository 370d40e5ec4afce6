"""The luck of having come out best, and what is left of a drop once it is taken off.

Whoever is chosen among several for a good number has been lucky with it. The choice is made again on resampled
examples, and whoever it takes is measured on those that were not drawn; the mean of that is what the number is worth
(bootstrap bias corrected selection: Tsamardinos, Greasidou and Borboudakis, Machine Learning 107 (2018) 1895-1922).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.phrasing import capitalized, difference_unit
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.selection import Contest, Corrected, PairedOutcomes
from apps.agents.measuring.statistics.certainty import quantile
from apps.agents.measuring.statistics.intervals import CHUNK_ELEMENTS, Floats

Ints = NDArray[np.int64]
Pick = Callable[[Floats, Floats], Ints]
"""From drops and their standard errors, `[candidates, resamples]`, to who is taken in each; −1 where nobody is."""

RESAMPLES = 500
TOO_FEW = 0.05
"""Where the choice takes anybody in fewer resamples than this, nothing can be said of the luck of whom it took."""
NOT_A_MEAN = "{metric} is not a mean over examples, so the luck of having come out best cannot be taken off."


# --- outcomes, kept small --------------------------------------------------------------------------------------------


def packed(losses: Floats, order: str = "") -> PairedOutcomes:
    """`losses` `[examples]` as they are kept: what each example adds to the drop."""
    if np.isin(losses, (-100.0, 0.0, 100.0)).all():
        lost, won = (tuple(map(int, np.flatnonzero(losses == value))) for value in (100.0, -100.0))
        return PairedOutcomes(examples=len(losses), lost=lost, won=won, order=order)
    scale = float(np.abs(losses).max())
    small = (losses / scale).astype("<f2")
    text = base64.b64encode(small.tobytes()).decode("ascii")
    return PairedOutcomes(examples=len(losses), differences=text, scale=scale, order=order)


def unpacked(outcomes: PairedOutcomes) -> Floats:
    """`[examples]`, as `packed` took them, to the precision that was kept."""
    if outcomes.differences is not None:
        return np.frombuffer(base64.b64decode(outcomes.differences), "<f2").astype(np.float64) * outcomes.scale
    losses = np.zeros(outcomes.examples)
    losses[list(outcomes.lost)] = outcomes.scale
    losses[list(outcomes.won)] = -outcomes.scale
    return losses


# --- how the choice is made ------------------------------------------------------------------------------------------


def best_within(scores: Sequence[float], limit: float) -> Pick:
    """Ranking: the highest score of those whose drop lies within the limit."""

    def pick(drops: Floats, errors: Floats) -> Ints:
        worth = np.where(drops <= limit, np.asarray(scores)[:, np.newaxis], -np.inf)
        return np.where(np.isfinite(worth).any(0), worth.argmax(0), -1)

    return pick


def first_proven(limit: float, confidence: float) -> Pick:
    """Judging: the first whose whole interval at `confidence` lies within the limit."""
    reach = quantile(confidence)

    def pick(drops: Floats, errors: Floats) -> Ints:
        holds = drops + reach * errors <= limit
        return np.where(holds.any(0), holds.argmax(0), -1)

    return pick


# --- the correction --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rivals:
    """Candidates with their outcomes on the same examples, in the order in which the choice looks at them."""

    keys: tuple[str, ...]
    losses: Floats
    """`[candidates, examples]`"""

    @classmethod
    def of(cls, outcomes: Mapping[str, PairedOutcomes | None]) -> Rivals | None:
        """`None` where some have no outcomes, or not on the same examples; of several looks the fewest count."""
        known = [one for one in outcomes.values() if one is not None]
        if not known or len(known) < len(outcomes) or len({one.order for one in known}) > 1:
            return None
        shortest = min(one.examples for one in known)
        return cls(tuple(outcomes), np.stack([unpacked(one)[:shortest] for one in known]))

    def corrected(self, pick: Pick, unit: str, seed: int) -> Corrected | None:
        """The drop of whom `pick` takes of all examples, plain and corrected; `None` where it takes nobody."""
        drops, errors = self._summed(np.ones((1, self.losses.shape[1])))
        taken = int(pick(drops, errors)[0])
        if taken < 0:
            return None
        outside = self._outside(pick, seed)
        if outside is None:
            return None
        return Corrected(
            candidate=self.keys[taken],
            among=len(self.keys),
            plain=float(drops[taken, 0]),
            corrected=outside,
            unit=unit,
        )

    def _summed(self, counts: Floats) -> tuple[Floats, Floats]:
        """Drops and standard errors `[candidates, resamples]` of examples that count `[resamples, examples]` times."""
        total = counts.sum(1)
        drops = self.losses @ counts.T / total
        squares = self.losses**2 @ counts.T / total
        return drops, np.sqrt(np.maximum(squares - drops**2, 0.0) / total)

    def _outside(self, pick: Pick, seed: int) -> float | None:
        """The mean drop, on the examples that were not drawn, of whom `pick` takes of those that were."""
        random, examples = np.random.default_rng(seed), self.losses.shape[1]
        step = max(1, CHUNK_ELEMENTS // examples)
        found: list[float] = []
        for start in range(0, RESAMPLES, step):
            rows = min(step, RESAMPLES - start)
            drawn = random.integers(0, examples, (rows, examples)) + np.arange(rows)[:, np.newaxis] * examples
            counts = np.bincount(drawn.ravel(), minlength=rows * examples).reshape(rows, examples).astype(np.float64)
            taken = pick(*self._summed(counts))
            left_out = (counts == 0).astype(np.float64)
            some = (taken >= 0) & (left_out.sum(1) > 0)
            drops, _ = self._summed(np.where(some[:, np.newaxis], left_out, 1.0))
            found += drops[taken[some], np.flatnonzero(some)].tolist()
        return float(np.mean(found)) if len(found) >= TOO_FEW * RESAMPLES else None


def contest_of(
    report: EvaluationReport,
    criteria: Criteria,
    scores: Mapping[str, float],
    ranked: Mapping[str, PairedOutcomes | None],
    judged: Mapping[str, PairedOutcomes],
    *,
    seed: int,
) -> Contest | None:
    """What ranking alone would have claimed of `ranked`, and what is left of the drop of whom `judged` takes.

    `report` is that of the finalist at hand, whose metric and confidence are everybody's; `scores` are those of
    `ranked`. `None` where no limit on the metric makes the choice depend on it.
    """
    limit, metric = _limit(report, criteria), report.primary
    if limit is None:
        return None
    unit = difference_unit(metric.unit)
    by_rank, finals = Rivals.of(ranked), Rivals.of(judged)
    if report.outcomes is None:
        return Contest(note=NOT_A_MEAN.format(metric=capitalized(metric.label)))
    ranking = best_within([scores[key] for key in by_rank.keys], limit) if by_rank else None
    return Contest(
        choosing=by_rank.corrected(ranking, unit, seed) if by_rank and ranking and len(by_rank.keys) > 1 else None,
        evaluation=finals.corrected(first_proven(limit, report.confidence), unit, seed)
        if finals and len(finals.keys) > 1
        else None,
    )


def _limit(report: EvaluationReport, criteria: Criteria) -> float | None:
    """The tighter of the limits on the drop, in its unit."""
    points, relative = criteria.constraints.max_metric_drop_points, criteria.constraints.max_metric_drop_relative
    limits = [points] if points is not None else []
    limits += [relative * report.primary.original.value] if relative is not None else []
    return min(limits, default=None)
