"""The criteria with which a session is continued."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from apps.agents.contracts.criteria import Criteria
from apps.optimization.forms.criteria import HOW_FAR, WHERE_IT_RUNS, OwnCriteriaForm


class ContinueForm(OwnCriteriaForm):
    """The criteria with which a finished session is continued. Its target stays."""

    SECTIONS = tuple(
        section
        for section in sorted(OwnCriteriaForm.SECTIONS, key=lambda section: section[0] is not HOW_FAR)
        if section[0] is not WHERE_IT_RUNS
    )
    """The budget comes first."""

    def __init__(self, *args: Any, criteria: Criteria, **kwargs: Any) -> None:
        super().__init__(*args, criteria=criteria, **kwargs)
        self._target = criteria.target
        self.fields["max_latency_ms"].help_text = _("p50 on the session's target.")
        for question in [one for one in self.questions if one.path[0] == "target"]:
            self.questions.remove(question)
            del self.fields[question.name]

    def _body(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        return {**super()._body(cleaned), "target": self._target.model_dump(mode="json")}
