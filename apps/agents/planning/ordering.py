"""The worth of a candidate before it is measured, under the session's objective: gain, risk and cost in one number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist

from apps.agents.contracts.criteria import CountedSize, Criteria
from apps.agents.contracts.loss_limits import planned_limit
from apps.agents.contracts.state import Prediction
from apps.agents.techniques.catalogue import Risk, TechniqueSpec
from apps.agents.techniques.knowledge.profile import GraphProfile

SURPRISE = 1.3
"""The factor by which the truth may exceed a prediction that no measurement of its technique has corrected yet."""
KNOWN_SURPRISE = 1.1
"""The same factor once another candidate of the technique was measured and has corrected the predictions."""
SIZE_SURPRISE = 1.02
"""The same factor for the size of the file, whose bytes are counted and not estimated."""
WORTH_SAYING = 1.02
"""A gain below two per cent, in speed or in size, is not worth a candidate."""
CLEARLY_SLOWER = 0.9
"""A candidate with a predicted speed-up below this is slower, even with the error of the prediction."""
COLLAPSE_POINTS = 5.0
"""A measured loss of this many times the limit, and of this many points, is a collapse, which other number types cannot
repair."""
PREDICTED_COLLAPSE_POINTS = 10.0
"""A candidate is left out unmeasured only if it is predicted to lose at least this: with sixteen examples, the noise is
overestimated by up to 4 dB."""

SUCCESS: Mapping[str, float] = {Risk.NONE: 1.0, Risk.LOW: 0.95, Risk.MEDIUM: 0.85, Risk.HIGH: 0.35}
"""By risk: the chance that a candidate holds the limit on the loss."""
_MINOR_WEIGHT = 0.05
_NORMAL = NormalDist()
_COST = {"plain": 0.01, "calibration": 0.03}
"""The share of its worth that a candidate's cost takes away. Calibration costs more because it runs the model."""


def predicted_gain(prediction: Prediction, criteria: Criteria, correction: tuple[float, float] = (1.0, 1.0)) -> float:
    """The predicted score. `correction` multiplies speed-up and size ratio. The size of the file stands for memory."""
    speedup, size_ratio = prediction.speedup * correction[0], prediction.size_ratio * correction[1]
    return criteria.weighted_gain(speedup, size_ratio, size_ratio)


def optimistic_gain(
    prediction: Prediction,
    criteria: Criteria,
    correction: tuple[float, float] | None = None,
    surprise: float = SURPRISE,
) -> float:
    """The score if the truth exceeds the prediction: by the factor `surprise` for speed, and hardly for size.

    With a `correction` from measured candidates of the same technique, the size is taken as known.
    """
    speed, size = correction or (1.0, SIZE_SURPRISE)
    return predicted_gain(prediction, criteria, (speed * surprise, size))


def worth(gain: float, prediction: Prediction, spec: TechniqueSpec, risk: str | None = None) -> float:
    """What it is worth to try a candidate: its gain, reduced by the risk that it breaks a limit and by its cost.

    Speed and size count a little under every objective, so they decide between equals.
    """
    expected = math.exp(SUCCESS[risk or prediction.risk] * math.log(gain)) if gain > 1 else gain
    return expected * minor(prediction) * (1 - _COST["calibration" if spec.needs_calibration else "plain"])


def minor(prediction: Prediction) -> float:
    """What speed and size count under every objective, so that they decide between equals."""
    return math.pow(prediction.speedup * prediction.size_ratio, _MINOR_WEIGHT)


def expected_improvement(gain: float, held: Sequence[tuple[float, float]], surprise: float) -> float:
    """How much a candidate of this predicted score is expected to add to the logarithm of the score that is delivered.

    `held` is what would be delivered without it: scores with their probabilities. The logarithm of the candidate's
    score is assumed to be normal around that of `gain`, with `surprise` two standard deviations above it. Divided by
    the time that candidates take, it orders them (Jones, Schonlau and Welch 1998; per second: Snoek, Larochelle and
    Adams 2012).
    """
    deviation = math.log(surprise) / 2
    return sum(chance * _excess(math.log(gain / score), deviation) for score, chance in held)


def _excess(ahead: float, deviation: float) -> float:
    """The mean of what is positive of a normal variable."""
    standard = ahead / deviation
    return max(0.0, ahead * _NORMAL.cdf(standard) + deviation * _NORMAL.pdf(standard))


def surprise_of(prediction: Prediction) -> float:
    """The factor by which the truth may exceed a prediction whose technique this session has not measured: the less,
    the more of the prediction is experience."""
    return max(KNOWN_SURPRISE, 1 + (SURPRISE - 1) * (1 - prediction.experience))


def size_surprise(criteria: Criteria, surprise: float = SURPRISE) -> float:
    """The factor by which the size that counts may turn out smaller than predicted: hardly for the file as it is."""
    return SIZE_SURPRISE if criteria.counted_size is CountedSize.FILE else surprise


def one_at_a_time(specs: Iterable[TechniqueSpec]) -> bool:
    """Whether candidates made by these techniques are tried one at a time. Plans list them after all others."""
    return any(spec.knowledge.one_at_a_time for spec in specs)


def obstacle(
    prediction: Prediction,
    profile: GraphProfile,
    criteria: Criteria,
    correction: tuple[float, float] = (1.0, 1.0),
    surprise: float = SURPRISE,
) -> str | None:
    """Why a candidate breaks a limit even if it is `surprise` times faster than predicted; `None` if it may hold
    all."""
    limits = criteria.constraints
    speedup, size_ratio = prediction.speedup * correction[0], prediction.size_ratio * correction[1]
    if limits.min_speedup is not None and speedup * surprise < limits.min_speedup:
        return f"predicted {speedup:.2f}× as fast, but at least {limits.min_speedup:g}× is required"
    if limits.max_latency_ms is not None and profile.original_latency_ms is not None:
        latency_ms = profile.original_latency_ms / speedup
        if latency_ms / surprise > limits.max_latency_ms:
            return f"predicted at {latency_ms:.3g} ms, but at most {limits.max_latency_ms:g} ms is allowed"
    smaller = size_ratio * size_surprise(criteria, surprise)
    if limits.min_size_reduction is not None and smaller < limits.min_size_reduction:
        return f"predicted {size_ratio:.2f} times smaller, but at least {limits.min_size_reduction:g} times is required"
    if (
        criteria.counted_size is not CountedSize.FILE or limits.max_size_bytes is None
    ):  # The original's other sizes are measured with a candidate.
        return None
    size_bytes = profile.original_bytes / size_ratio
    if size_bytes / SIZE_SURPRISE > limits.max_size_bytes:
        megabytes = size_bytes / 1e6
        return f"predicted at {megabytes:.2f} MB, but at most {limits.max_size_bytes / 1e6:.2f} MB is allowed"
    return None


def collapse(prediction: Prediction, criteria: Criteria) -> str | None:
    """A sentence about a predicted loss far beyond the limit; `None` if the loss is not that large."""
    limit = planned_limit(criteria.constraints)
    drop = prediction.metric_drop_points
    if limit is None or prediction.risk != Risk.HIGH or drop < max(PREDICTED_COLLAPSE_POINTS, COLLAPSE_POINTS * limit):
        return None
    return f"predicted to lose about {drop:.0f} points, but the limit is {limit:g}"


def no_gain(prediction: Prediction, criteria: Criteria) -> str | None:
    """Why no gain is predicted under the objective; `None` if one is."""
    weights = criteria.exponents
    if weights.latency and prediction.speedup < CLEARLY_SLOWER:
        return f"predicted to be slower ({prediction.speedup:.2f}×) on this machine and graph"
    gain = predicted_gain(prediction, criteria)
    if gain <= WORTH_SAYING:
        return f"predicted gain {gain:.2f}×: not worthwhile under the objective {criteria.objective.value}"
    return None
