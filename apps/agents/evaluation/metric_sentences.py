"""How a metric changed, and how many more examples would decide, in words."""

from __future__ import annotations

import math

from apps.agents.contracts.phrasing import from_to, signed, with_unit
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.metrics import NARROW_POINTS, POINT_UNITS, MetricComparison
from apps.agents.evaluation.deciding import more_needed


def examples_to_decide(drop: Estimate, limit: float, unit: str, examples: int) -> str:
    """How many more examples would decide, or why even an unchanged model could not be shown to hold."""
    reach = (drop.high if drop.high is not None else drop.value) - drop.value
    if limit == 0:
        return "Examples can show that a limit of 0 is violated, but never that it holds: allow a small drop."
    if reach > limit:
        needed = math.ceil(examples * (reach / limit) ** 2) - examples if math.isfinite(reach) else None
        more = f"About {needed:,} more examples are needed." if needed else "Add examples."
        return (
            f"With {examples:,} examples the interval reaches {with_unit(reach, unit)} above the drop, more than the "
            f"limit itself: even a candidate without any drop could not be shown to hold. {more}"
        )
    more_examples = more_needed(drop, limit, examples)
    if more_examples is None:
        return "The drop lies on the limit itself: no number of examples would decide while it stays there."
    return f"About {more_examples:,} more examples would decide, if the drop stays at {with_unit(drop.value, unit)}."


def how_it_changed(
    change: Estimate, unit: str, status: Holds, interval_text: str, values: str = "", narrow: float = NARROW_POINTS
) -> str:
    """How a metric changed: *unchanged* if the constraint holds and the interval includes 0 and reaches no further
    from it than `narrow`.

    If a large change is possible, only the measured value is stated.
    """
    if (change.value, change.low or 0.0, change.high or 0.0) == (0.0, 0.0, 0.0):
        return "did not change"
    within = f" ({interval_text})" if interval_text else ""
    if not change.includes(0.0):
        return f"{'fell' if change.value < 0 else 'rose'} {values}by {with_unit(abs(change.value), unit)}{within}"
    if status is Holds.HOLDS and change.within(narrow):
        return f"is unchanged ({values}{signed(change.value, unit)}, {interval_text})"
    if not change.value:
        return f"measured {values}the same{within}"
    return f"measured {values}{with_unit(abs(change.value), unit)} {'lower' if change.value < 0 else 'higher'}{within}"


def both_values(metric: MetricComparison) -> str:
    """Both values of a metric in its own unit, which give the difference a meaning; empty for shares."""
    if metric.unit in POINT_UNITS:
        return ""
    return f"{from_to(metric.original.value, metric.candidate.value)} {metric.unit}".strip() + ", "
