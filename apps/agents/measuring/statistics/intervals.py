"""Intervals and paired tests on plain arrays. Everything random is seeded.

Shares are fractions here (0 to 1). The caller converts them to per cent and points.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import scipy  # Its parts load on first use: `stats` alone takes longer than most jobs.
from numpy.typing import NDArray

from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.measuring.statistics.certainty import quantile
from apps.agents.measuring.statistics.tango import excess

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Statistic = Callable[[Indices], Floats]
"""Maps resampled example indices `[resamples, n]` to k values for each resample `[k, resamples]`."""

RESAMPLES = 2000
CHUNK_ELEMENTS = 4_000_000
"""Resampled elements held in memory at once."""
NUDGE = 1e-9
BCA_MAXIMUM_EXAMPLES = 4000
"""With more examples, plain percentiles: the jackknife would take too long, and the acceleration is nearly 0."""


def confidence_of(quantile: float) -> float:
    """The confidence of a two-sided interval that reaches `quantile` standard errors: 0.95 for 1.96."""
    return float(1 - 2 * scipy.special.ndtr(-quantile))


# --- shares ----------------------------------------------------------------------------------------------------------


def share(successes: int, trials: int, confidence: float) -> Estimate:
    """A share with Wilson's score interval (Wilson, JASA 22 (1927)). `trials` must be positive."""
    return share_of_mean(successes / trials, trials, confidence)


def share_of_mean(value: float, trials: int, confidence: float) -> Estimate:
    """Wilson's interval for the mean of `trials` numbers from 0 to 1. It is conservative, unless all are 0 or 1."""
    z = float(scipy.special.ndtri(0.5 + confidence / 2))
    scale = 2 * (trials + z**2)
    center = (2 * trials * value + z**2) / scale
    reach = z / scale * math.sqrt(4 * trials * value * (1 - value) + z**2)
    return Estimate(
        value=value,
        low=center - reach if value > 0 else 0.0,
        high=center + reach if value < 1 else 1.0,
    )


def mcnemar_p(lost: int, won: int) -> float:
    """The exact two-sided p-value that losses and wins are equally likely (McNemar, Psychometrika 12 (1947)).

    `lost` counts the examples that only the original gets right, `won` those that only the candidate does.
    """
    return float(min(1.0, 2 * scipy.special.bdtr(min(lost, won), lost + won, 0.5)))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Each p-value corrected for their number, which keeps the family-wise error rate.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979) 65-70.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = least
    return tuple(corrected)


def share_difference(lost: int, won: int, trials: int, confidence: float) -> Estimate:
    """The difference of two shares on the same examples, `(lost − won) / trials`, with Tango's score interval.

    It keeps its coverage even if few examples, or none, are discordant (`apps.agents.measuring.statistics.tango`).
    """
    value = (lost - won) / trials
    z = quantile(confidence)

    def beyond(difference: float, critical: float) -> float:
        return excess(lost, won, trials, difference, critical)

    # At the value itself the statistic can be 0 over 0 (no discordant example), so start next to it.
    below, above = value - NUDGE, value + NUDGE
    low = -1.0 if below <= -1 or beyond(-1.0, z) <= 0 else float(scipy.optimize.brentq(beyond, -1.0, below, args=(z,)))
    high = 1.0 if above >= 1 or beyond(1.0, -z) >= 0 else float(scipy.optimize.brentq(beyond, above, 1.0, args=(-z,)))
    return Estimate(value=value, low=low, high=high)


# --- other statistics: the bootstrap ---------------------------------------------------------------------------------


def bootstrap(statistic: Statistic, examples: int, confidence: float, seed: int) -> tuple[tuple[Estimate, ...], Floats]:
    """Statistics of `examples` examples with their bootstrap intervals, and the resampled values `[k, resamples]`.

    Needs at least two examples. Bias-corrected and accelerated (Efron, JASA 82 (1987)) up to `BCA_MAXIMUM_EXAMPLES`;
    percentile above that, and if the correction is undefined, for example because the statistic is equal in all
    resamples. The difference of two models is a statistic like any other: both are computed on the same resampled
    examples, which makes this a paired bootstrap.
    """
    everyone = np.arange(examples, dtype=np.int64)
    value = statistic(everyone[np.newaxis])[:, 0]

    def along_last_axis(indices: Indices, axis: int = -1) -> Floats:
        moved = np.moveaxis(np.asarray(indices), axis, -1)
        values = statistic(moved.reshape(-1, moved.shape[-1]))
        return values.reshape(len(values), *moved.shape[:-1])

    with warnings.catch_warnings():
        # scipy warns of an undefined correction, which is handled below.
        warnings.simplefilter("ignore", scipy.stats.DegenerateDataWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        result = scipy.stats.bootstrap(
            (everyone,),
            along_last_axis,
            n_resamples=RESAMPLES,
            batch=max(1, CHUNK_ELEMENTS // examples),
            vectorized=True,
            confidence_level=confidence,
            method="BCa" if examples <= BCA_MAXIMUM_EXAMPLES else "percentile",
            rng=np.random.default_rng(seed),
        )
    values = np.asarray(result.bootstrap_distribution, dtype=np.float64)
    interval = result.confidence_interval
    estimates = (
        _estimate(float(v), float(low), float(high), row, confidence)
        for v, low, high, row in zip(value, interval.low, interval.high, values, strict=True)
    )
    return tuple(estimates), values


def _estimate(value: float, low: float, high: float, values: Floats, confidence: float) -> Estimate:
    if not (math.isfinite(low) and math.isfinite(high)):
        return _percentiles(value, values, confidence)
    # The interval includes the estimate, even if a strongly biased statistic puts it outside.
    return Estimate(value=value, low=min(low, value), high=max(high, value))


def bootstrap_p(values: Floats) -> float:
    """The two-sided p-value for a difference of 0: twice the smaller share of resamples on either side of it.

    Counts the sample itself as a resample, so that the p-value is never 0 (Davison and Hinkley 1997, ch. 4).
    """
    smaller = min(np.count_nonzero(values <= 0), np.count_nonzero(values >= 0))
    return float(min(1.0, 2 * (smaller + 1) / (len(values) + 1)))


def _percentiles(value: float, values: Floats, confidence: float) -> Estimate:
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(value=value, low=min(float(low), value), high=max(float(high), value))
