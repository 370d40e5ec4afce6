"""Limits on further metrics, as people write them: one line for each metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from apps.agents.contracts.dataset_spec import METRICS, Metric
from apps.agents.contracts.phrasing import difference_unit
from apps.optimization.localized import with_unit

EXAMPLE = "macro_f1: 2"


class MetricLimitsField(forms.CharField):
    """Lines such as `macro_f1: 2`, each with a metric's name or label and the most that it may lose."""

    def __init__(self) -> None:
        super().__init__(
            label=_("Loss of further metrics at most"),
            help_text=_(
                "One line for each metric: {metrics}. In points for shares and correlations, otherwise in the metric's "
                "unit. Empty: no limit."
            ).format(metrics=", ".join(Metric)),
            required=False,
            widget=forms.Textarea({"rows": 2, "placeholder": EXAMPLE}),
        )

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return "\n".join(f"{metric}: {limit:g}" for metric, limit in value.items())

    def to_python(self, value: Any) -> dict[str, float]:  # type: ignore[override]
        """The limits by metric. Raises `ValidationError`."""
        text = super().to_python(value)
        found: dict[str, float] = {}
        for line in filter(None, map(str.strip, str(text).splitlines())):
            metric, limit = _read(line)
            if metric in found:
                sentence = _("“{metric}” has two limits. Give each metric one line.")
                raise ValidationError(sentence.format(metric=metric), code="invalid")
            found[metric] = limit
        return found

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


def in_words(limits: Mapping[str, float]) -> str:
    """`macro F1: 2 points, mean absolute error: 0.5`; empty without limits."""
    return ", ".join(f"{_(METRICS[Metric(name)].label)}: {_limit(name, limit)}" for name, limit in limits.items())


def _limit(name: str, limit: float) -> str:
    return with_unit(limit, difference_unit(METRICS[Metric(name)].unit))


def _read(line: str) -> tuple[str, float]:
    name, colon, number = line.rpartition(":")
    wanted = name.strip().casefold()
    metric = next((one for one, spec in METRICS.items() if wanted in (one.value, spec.label.casefold())), None)
    if not colon or metric is None:
        sentence = _("“{line}” does not have the form “{example}”, with one of the metrics {metrics}.")
        message = sentence.format(line=line, example=EXAMPLE, metrics=", ".join(Metric))
        raise ValidationError(message, code="invalid")
    try:
        return metric.value, float(number)
    except ValueError:
        sentence = _("“{number}” in “{line}” is not a number.")
        raise ValidationError(sentence.format(number=number.strip(), line=line), code="invalid") from None
