"""Promotion of a session's result, and the way back."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _


class PromoteForm(forms.Form):
    alias = forms.SlugField(label=_("Alias"), max_length=60, initial="production")


class RollBackForm(forms.Form):
    alias = forms.SlugField(max_length=60, initial="production", widget=forms.HiddenInput)
    reason = forms.CharField(label=_("Reason"), max_length=500, help_text=_("For the audit trail."))
