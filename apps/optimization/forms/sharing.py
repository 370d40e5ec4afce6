"""The form of a public link to a report."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from apps.optimization.services import LINK_DAYS


def _spans() -> list[tuple[int, str]]:
    return [(days, ngettext("{number} day", "{number} days", days).format(number=days)) for days in LINK_DAYS]


class ShareForm(forms.Form):
    days = forms.TypedChoiceField(
        label=_("Open for"),
        coerce=int,
        choices=_spans,
        initial=7,
        help_text=_("You can revoke it earlier."),
    )
