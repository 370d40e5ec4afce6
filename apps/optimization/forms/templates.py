"""The forms of templates."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.optimization.models import SessionTemplate


class TemplateForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=SessionTemplate.LONGEST_NAME)
    default = forms.BooleanField(
        label=_("The model's default"),
        required=False,
        help_text=_("The page of a new session is filled in from it when somebody chooses to optimize this model."),
    )


class NewTemplateForm(TemplateForm):
    replace = forms.BooleanField(label=_("Replace a template of the same name"), required=False)
