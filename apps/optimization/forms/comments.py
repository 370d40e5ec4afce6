"""The form of a comment."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.optimization.models import LONGEST_COMMENT


class CommentForm(forms.Form):
    text = forms.CharField(
        label=_("Comment"),
        max_length=LONGEST_COMMENT,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Markdown. @name mentions a member of the team: the part of their address before the @."),
    )
