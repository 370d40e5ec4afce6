"""The risk that a predicted loss breaks the limit."""

from __future__ import annotations

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.loss_limits import planned_limit
from apps.agents.techniques.catalogue import Risk


def risk_of(drop_points: float, criteria: Criteria) -> Risk:
    """The risk that a predicted loss breaks the limit on the loss, or 1 point if there is none."""
    limit = planned_limit(criteria.constraints)
    limit = 1.0 if limit is None else max(limit, 0.05)
    if drop_points <= 0.02 * limit:
        return Risk.NONE
    if drop_points <= 0.4 * limit:
        return Risk.LOW
    return Risk.MEDIUM if drop_points <= limit else Risk.HIGH


def higher(one: Risk, other: Risk) -> Risk:
    """The worse of two risks. The second is not based on a measurement, so it counts as medium at most."""
    order = list(Risk)
    return max(one, min(other, Risk.MEDIUM, key=order.index), key=order.index)
