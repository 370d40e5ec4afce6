"""What a candidate is worth before it is measured, under the member's objective: gain, risk and cost in one number."""

from __future__ import annotations

import math
from collections.abc import Mapping

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.state import Prediction
from apps.agents.techniques.catalogue import Risk, TechniqueSpec
from apps.agents.techniques.knowledge.profile import GraphProfile

SURPRISE = 1.3
"""How far the truth may lie above a prediction that no measurement of its technique has corrected yet."""
KNOWN_SURPRISE = 1.1
"""The same once a sibling of the technique was measured and predictions are corrected by it."""
SIZE_SURPRISE = 1.02
"""The same for the size of the file, whose bytes are counted rather than guessed."""
WORTH_SAYING = 1.02
"""A gain below two per cent, in speed as in size, is no gain to plan for."""
CLEARLY_SLOWER = 0.9
"""A predicted speed-up below this is slower whatever the prediction's error."""
COLLAPSE_POINTS = 5.0
"""A measured loss of this many limits, and of this many points, is a collapse: other number types will not mend it."""
PREDICTED_COLLAPSE_POINTS = 10.0
"""What a prediction must reach to spare the measurement: sixteen examples rate the noise up to 4 dB too high."""

_SUCCESS: Mapping[str, float] = {Risk.NONE: 1.0, Risk.LOW: 0.95, Risk.MEDIUM: 0.85, Risk.HIGH: 0.35}
"""How likely a candidate of this risk is to hold the member's limit on the loss."""
_BESIDES = 0.05
_COST = {"plain": 0.01, "calibration": 0.03}
"""Share of its worth that a candidate's own cost takes: calibration runs the model over examples."""


def predicted_gain(prediction: Prediction, criteria: Criteria, correction: tuple[float, float] = (1.0, 1.0)) -> float:
    """The predicted score; `correction` multiplies speed-up and size ratio. The file's size stands for memory."""
    speedup, size_ratio = prediction.speedup * correction[0], prediction.size_ratio * correction[1]
    return criteria.weighted_gain(speedup, size_ratio, size_ratio)


def optimistic_gain(
    prediction: Prediction,
    criteria: Criteria,
    correction: tuple[float, float] | None = None,
    surprise: float = SURPRISE,
) -> float:
    """The score if the truth lies above the prediction: by `surprise` for speed, hardly for bytes.

    With a `correction` by measured siblings the size is taken as known.
    """
    speed, size = correction or (1.0, SIZE_SURPRISE)
    return predicted_gain(prediction, criteria, (speed * surprise, size))


def worth(gain: float, prediction: Prediction, spec: TechniqueSpec, risk: str | None = None) -> float:
    """What trying a candidate is worth: its gain discounted by the risk that it breaks a limit, and by its cost.

    Speed and size count a little whatever the objective, so that they decide between equals.
    """
    expected = math.exp(_SUCCESS[risk or prediction.risk] * math.log(gain)) if gain > 1 else gain
    besides = math.pow(prediction.speedup * prediction.size_ratio, _BESIDES)
    return expected * besides * (1 - _COST["calibration" if spec.needs_calibration else "plain"])


def obstacle(
    prediction: Prediction,
    profile: GraphProfile,
    criteria: Criteria,
    correction: tuple[float, float] = (1.0, 1.0),
    surprise: float = SURPRISE,
) -> str | None:
    """Why a candidate breaks a limit even if it is `surprise` times faster than predicted; `None` when it may hold."""
    limits = criteria.constraints
    speedup, size_ratio = prediction.speedup * correction[0], prediction.size_ratio * correction[1]
    if limits.min_speedup is not None and speedup * surprise < limits.min_speedup:
        return f"predicted {speedup:.2f}× as fast, and at least {limits.min_speedup:g}× is asked for"
    if limits.max_latency_ms is not None and profile.original_latency_ms is not None:
        latency_ms = profile.original_latency_ms / speedup
        if latency_ms / surprise > limits.max_latency_ms:
            return f"predicted at {latency_ms:.3g} ms, and at most {limits.max_latency_ms:g} ms is asked for"
    if limits.min_size_reduction is not None and size_ratio * SIZE_SURPRISE < limits.min_size_reduction:
        return (
            f"predicted {size_ratio:.2f} times smaller, and at least {limits.min_size_reduction:g} times is asked for"
        )
    size_bytes = profile.original_bytes / size_ratio
    if limits.max_size_bytes is not None and size_bytes / SIZE_SURPRISE > limits.max_size_bytes:
        megabytes = size_bytes / 1e6
        return f"predicted at {megabytes:.2f} MB, and at most {limits.max_size_bytes / 1e6:.2f} MB is asked for"
    return None


def collapse(prediction: Prediction, criteria: Criteria) -> str | None:
    """The sentence for a predicted loss far beyond the limit; `None` where there is none."""
    limit = criteria.constraints.max_metric_drop_points
    drop = prediction.metric_drop_points
    if limit is None or prediction.risk != Risk.HIGH or drop < max(PREDICTED_COLLAPSE_POINTS, COLLAPSE_POINTS * limit):
        return None
    return f"predicted to lose about {drop:.0f} points, and the limit is {limit:g}"


def no_gain(prediction: Prediction, criteria: Criteria) -> str | None:
    """Why the objective gains nothing by prediction; `None` when it does."""
    weights = criteria.exponents
    if weights.latency and prediction.speedup < CLEARLY_SLOWER:
        return f"predicted to be slower ({prediction.speedup:.2f}×) on this machine and graph"
    gain = predicted_gain(prediction, criteria)
    if gain <= WORTH_SAYING:
        return f"predicted gain {gain:.2f}×: nothing to win under the objective {criteria.objective.value}"
    return None
