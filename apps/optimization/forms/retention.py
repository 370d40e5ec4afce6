"""How long a team keeps what sessions leave."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _


class RetentionForm(forms.Form):
    """Retention in days. Empty means forever."""

    artifact_days = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=36_500,
        label=_("Candidate files (days)"),
        help_text=_("Except winning artifacts. Counted from the end of the session. Empty: forever."),
    )
    log_days = forms.IntegerField(required=False, min_value=1, max_value=36_500, label=_("Logs (days)"))
    session_days = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=36_500,
        label=_("Whole sessions (days)"),
        help_text=_("With report and package. Promoted versions and audit events stay."),
    )
