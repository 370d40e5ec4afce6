"""What became of the risk that a candidate loses more than its limit allows."""

from __future__ import annotations

from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.evaluation.verdicts import overall

LOSS_CONSTRAINTS = frozenset({"max_metric_drop_points", "max_metric_drop_unit", "max_metric_drop_relative"})
"""The limits on the loss of the primary metric: what the predicted risk is about."""


def loss_held(report: EvaluationReport) -> Holds | None:
    """Whether the loss of the primary metric holds its limits; `None` without a limit."""
    verdicts = [one for one in report.constraints if one.constraint in LOSS_CONSTRAINTS]
    return overall(verdicts) if verdicts else None
