"""Limits that the data cannot decide."""

from __future__ import annotations

from collections.abc import Iterator

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.phrasing import with_unit
from apps.agents.evaluation.decidability import Decidability, Decides, decidability, round_up
from apps.agents.planning.conflicts.values import Conflict, Conflicting, Known, Severity

_HIGHEST_LIMIT = 100.0


def loss_undecidable(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The data set has too few examples to prove the limit on the loss, even for a candidate without any loss."""
    found = _decidability(criteria, known)
    if found is None or found.decides is not Decides.NO:
        return
    limits = criteria.constraints
    fields = [
        f"constraints.{name}"
        for name in ("max_metric_drop_points", "max_metric_drop_relative")
        if getattr(limits, name) is not None
    ]
    building = Conflicting("loss_undecidable", Severity.WARNING, *fields, "confidence")
    provable = round_up(min((one.smallest_drop for one in found.reaches), default=0.0))
    if 0 < provable <= _HIGHEST_LIMIT:
        limit = {"max_metric_drop_points": round(provable, 8), "max_metric_drop_relative": None}
        building.resolved("limit", f"Allow a loss of up to {with_unit(provable, found.unit)}", constraints=limit)
    _accept(building, criteria)
    yield building.says(f"{found.sentence} {found.advice}".strip())


def group_loss_undecidable(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The smallest group has too few examples to prove the limit on every group's loss."""
    found = _decidability(criteria, known)
    group = found.smallest_group if found else None
    if group is None or group.decides is not Decides.NO:
        return
    name = "max_group_drop_points"
    building = Conflicting("group_loss_undecidable", Severity.WARNING, f"constraints.{name}")
    building.resolved("remove", "Remove the limit on the loss of each group", constraints={name: None})
    _accept(building, criteria)
    yield building.says(f"{group.sentence} Add examples of {group.group}, or relax the limit.")


def _accept(building: Conflicting, criteria: Criteria) -> None:
    if not criteria.accept_inconclusive:
        title = "Accept a result that is within the limits but not proven"
        building.resolved("accept", title, accept_inconclusive=True)


def _decidability(criteria: Criteria, known: Known) -> Decidability | None:
    if known.dataset is None or known.spec is None:
        return None
    return decidability(known.spec, known.dataset.examples, criteria, known.earlier, known.dataset.groups)
