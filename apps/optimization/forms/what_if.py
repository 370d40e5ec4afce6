"""What a limit and a confidence would decide, before criteria are written with them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.loss_limits import for_task
from apps.models.models import DataSet


class WhatIfForm(forms.Form):
    """A limit and confidence to try, before writing criteria with them."""

    limit = forms.FloatField(
        label=_("Loss at most (points)"),
        min_value=0,
        required=False,
        help_text=_("In the metric's own unit for errors, perplexity and likelihoods."),
        widget=forms.NumberInput({"step": "any"}),
    )
    confidence = forms.FloatField(
        label=_("Confidence"), min_value=0.5, max_value=0.999, widget=forms.NumberInput({"step": "any"})
    )

    @staticmethod
    def answers_of(criteria: Criteria, dataset: DataSet) -> dict[str, Any]:
        """The absolute limit that `criteria` set for the metric of `dataset`, if they set one."""
        criteria = for_task(criteria, DatasetSpec.model_validate(dataset.spec))
        return {"limit": criteria.constraints.drop_limit, "confidence": criteria.confidence}

    def put_on(self, criteria: Criteria) -> Criteria:
        """`criteria` with the valid answers applied."""
        limit = self.cleaned_data["limit"]
        given = {"max_metric_drop_points": limit, "max_metric_drop_unit": limit}
        limits = criteria.constraints.model_copy(update=given)
        return criteria.model_copy(update={"constraints": limits, "confidence": self.cleaned_data["confidence"]})
