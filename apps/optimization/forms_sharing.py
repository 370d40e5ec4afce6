"""The form of a public link to a report."""

from __future__ import annotations

from django import forms

from apps.optimization.services import LINK_DAYS


class ShareForm(forms.Form):
    days = forms.TypedChoiceField(
        label="Open for",
        coerce=int,
        choices=[(days, f"{days} day{'s' if days > 1 else ''}") for days in LINK_DAYS],
        initial=7,
        help_text="You can revoke it earlier.",
    )
