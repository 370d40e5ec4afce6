"""What a session was asked, as its row and a template's row keep it."""

from __future__ import annotations

from typing import Any

from django.utils.functional import cached_property

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.plan_edits import PlanEdits


class WithCriteriaAndEdits:
    """The criteria and the edits of the plan of a row that has their bodies. Validated once: nothing changes them."""

    criteria_body: Any
    edits_body: Any

    @cached_property
    def criteria(self) -> Criteria:
        """What matters, as it was when it was asked."""
        return Criteria.model_validate(self.criteria_body)

    @cached_property
    def edits(self) -> PlanEdits:
        """What a member changed about the plan before the start."""
        return PlanEdits.model_validate(self.edits_body)
