"""Limits on further outputs, as people write them: one line for each output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

EXAMPLE = "age: 2"


class OutputLimitsField(forms.CharField):
    """Lines such as `age: 2`, each with an output's name and the most that its metric may lose."""

    def __init__(self) -> None:
        super().__init__(
            label=_("Loss of further outputs at most"),
            help_text=_(
                "One line for each output that the data set has labels for. In points for shares, otherwise in the "
                "metric's unit. Empty: no limit."
            ),
            required=False,
            widget=forms.Textarea({"rows": 2, "placeholder": EXAMPLE}),
        )

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return "\n".join(f"{output}: {limit:g}" for output, limit in value.items())

    def to_python(self, value: Any) -> dict[str, float]:  # type: ignore[override]
        """The limits by output. Raises `ValidationError`."""
        found: dict[str, float] = {}
        for line in filter(None, map(str.strip, str(super().to_python(value)).splitlines())):
            output, colon, number = line.rpartition(":")
            output = output.strip()
            if not colon or not output:
                sentence = _("“{line}” does not have the form “{example}”.")
                raise ValidationError(sentence.format(line=line, example=EXAMPLE), code="invalid")
            if output in found:
                sentence = _("“{output}” has two limits. Give each output one line.")
                raise ValidationError(sentence.format(output=output), code="invalid")
            try:
                found[output] = float(number)
            except ValueError:
                sentence = _("“{number}” in “{line}” is not a number.")
                raise ValidationError(sentence.format(number=number.strip(), line=line), code="invalid") from None
        return found

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


def in_words(limits: Mapping[str, float]) -> str:
    """`age: 2, sex: 0.5`; empty without limits."""
    return ", ".join(f"{output}: {limit:g}" for output, limit in limits.items())
