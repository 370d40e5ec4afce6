"""Forms for the parameters of techniques, built from their specs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext as _

from apps.agents.contracts.plan_edits import NamedLink
from apps.agents.techniques.catalogue import ParameterSpec, TechniqueSpec


def _names(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


class NamesField(forms.CharField):
    """Names, one on each line."""

    widget = forms.Textarea({"rows": 2})

    def clean(self, value: Any) -> list[str]:
        return _names(super().clean(value))

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list | tuple) else value


def field_of(parameter: ParameterSpec) -> forms.Field:
    """The form field of one parameter."""
    usual: dict[str, Any] = {
        "label": parameter.name.replace("_", " ").capitalize(),
        "help_text": parameter.help,
        "required": parameter.kind not in ("boolean", "names"),
    }
    match parameter.kind:
        case "choice":
            values = {str(value): value for value in parameter.choices}
            return forms.TypedChoiceField(choices=[(one, one) for one in values], coerce=values.__getitem__, **usual)
        case "boolean":
            return forms.BooleanField(**usual)
        case "integer":
            return forms.IntegerField(min_value=_whole(parameter.minimum), max_value=_whole(parameter.maximum), **usual)
        case "number":
            widget = forms.NumberInput({"step": "any"})
            return forms.FloatField(min_value=parameter.minimum, max_value=parameter.maximum, widget=widget, **usual)
        case "names":
            usual["help_text"] += f" {_('One on each line.')}"
            return NamesField(**usual)


def _whole(limit: float | None) -> int | None:
    return None if limit is None else int(limit)


class ParametersForm(forms.Form):
    """The parameters of one technique, with `given` values or their defaults."""

    def __init__(self, spec: TechniqueSpec, given: Mapping[str, Any], data: Any = None, prefix: str = "") -> None:
        self.spec = spec
        self.given = {one.name: _plain(given.get(one.name, one.default)) for one in spec.parameters}
        super().__init__(data, prefix=prefix, initial=self.given)
        self.fields.update({one.name: field_of(one) for one in spec.parameters})

    @property
    def link(self) -> NamedLink:
        """The technique with the valid answers. What is left out of complete parameters stays open at its default, so
        that the plan can set what the worker's machine needs."""
        open_ones = {one.name for one in self.spec.parameters if one.added_later and self._is_default(one)}
        answers = {name: value for name, value in self.cleaned_data.items() if name not in open_ones}
        return NamedLink(technique=self.spec.name, parameters=answers)

    def _is_default(self, one: ParameterSpec) -> bool:
        return bool(self.cleaned_data[one.name] == one.default)

    @property
    def changes(self) -> dict[str, Any]:
        """The valid answers that differ from what was given."""
        return {name: value for name, value in self.cleaned_data.items() if value != self.given[name]}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
