"""Selection bias: how much of a winner's result is luck, and the drop that remains after correcting for it.

A candidate that is chosen among several for a good number was partly lucky. The choice is repeated on resampled
examples, and each winner is measured on the examples that were not drawn; the mean is the corrected number (bootstrap
bias corrected selection: Tsamardinos, Greasidou and Borboudakis, Machine Learning 107 (2018) 1895-1922).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.loss_limits import absolute_limit
from apps.agents.contracts.phrasing import capitalized, difference_unit
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.selection import Contest, Corrected, PairedOutcomes
from apps.agents.measuring.statistics.certainty import quantile
from apps.agents.measuring.statistics.intervals import CHUNK_ELEMENTS, Floats

Ints = NDArray[np.int64]
Pick = Callable[[Floats, Floats], Ints]
"""Maps drops and their standard errors, `[candidates, resamples]`, to the winner in each resample; −1 for none."""

RESAMPLES = 500
TOO_FEW = 0.05
"""If the choice finds a winner in a smaller share of resamples than this, the bias cannot be estimated."""
NOT_A_MEAN = "{metric} is not a mean over examples, so it cannot be corrected for the luck of the winner."


# --- compact outcomes ------------------------------------------------------------------------------------------------


def packed(losses: Floats, order: str = "") -> PairedOutcomes:
    """`losses` `[examples]` (what each example adds to the drop) in the form in which they are stored."""
    if np.isin(losses, (-100.0, 0.0, 100.0)).all():
        lost, won = (tuple(map(int, np.flatnonzero(losses == value))) for value in (100.0, -100.0))
        return PairedOutcomes(examples=len(losses), lost=lost, won=won, order=order)
    scale = float(np.abs(losses).max())
    small = (losses / scale).astype("<f2")
    text = base64.b64encode(small.tobytes()).decode("ascii")
    return PairedOutcomes(examples=len(losses), differences=text, scale=scale, order=order)


def unpacked(outcomes: PairedOutcomes) -> Floats:
    """`[examples]`: the losses given to `packed`, to the stored precision."""
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
    """Candidates with their outcomes on the same examples, in the order in which the choice examines them."""

    keys: tuple[str, ...]
    losses: Floats
    """`[candidates, examples]`"""

    @classmethod
    def of(cls, outcomes: Mapping[str, PairedOutcomes | None]) -> Rivals | None:
        """`None` if some have no outcomes or used other examples. Of several looks, the shortest counts."""
        known = [one for one in outcomes.values() if one is not None]
        if not known or len(known) < len(outcomes) or len({one.order for one in known}) > 1:
            return None
        shortest = min(one.examples for one in known)
        return cls(tuple(outcomes), np.stack([unpacked(one)[:shortest] for one in known]))

    def corrected(self, pick: Pick, unit: str, seed: int) -> Corrected | None:
        """The drop, plain and corrected, of the candidate that `pick` chooses on all examples; `None` for none."""
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
        """Drops and standard errors `[candidates, resamples]` weighted by `counts` `[resamples, examples]`."""
        total = counts.sum(1)
        drops = self.losses @ counts.T / total
        squares = self.losses**2 @ counts.T / total
        return drops, np.sqrt(np.maximum(squares - drops**2, 0.0) / total)

    def _outside(self, pick: Pick, seed: int) -> float | None:
        """The mean drop of the candidates that `pick` chooses on the drawn examples, measured on the others."""
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
    """What ranking alone would have claimed for `ranked`, and the corrected drop of the candidate that `judged` yields.

    `report` is the current finalist's; its metric and confidence apply to all. `scores` are those of `ranked`. `None`
    if no limit on the metric makes the choice depend on it.
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
    """The tighter of the limits on the drop, in the drop's unit."""
    return absolute_limit(criteria.constraints, report.primary)
