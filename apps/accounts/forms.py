from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.password_validation import validate_password

from apps.accounts.models import Role, TokenScope
from apps.accounts.services import MAX_TOKEN_DAYS
from apps.errors import UserError


def show_error(form: forms.Form, error: UserError, *within: str) -> None:
    """Shows a service's error next to its field, or above the form.

    `within` lists the groups, outermost first, that the form shows as plain fields: `spec.label` is its `label`.
    """
    name = error.field or ""
    for group in within:
        name = name.removeprefix(f"{group}.")
    name = name.split(".")[0]
    form.add_error(name if name in form.fields else None, forms.ValidationError(error.message, code=error.code))


class InvitationForm(forms.Form):
    email = forms.EmailField(label="E-mail address", widget=forms.EmailInput(attrs={"autocomplete": "off"}))
    role = forms.ChoiceField(choices=Role.choices, initial=Role.ENGINEER)


class TimeZoneForm(forms.Form):
    time_zone = forms.CharField(
        label="Time zone",
        max_length=60,
        widget=forms.TextInput(attrs={"list": "time-zones", "autocomplete": "off"}),
        help_text="Such as Europe/Berlin. Pages and mails show times in it.",
    )


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=Role.choices)


class TokenForm(forms.Form):
    name = forms.CharField(max_length=80, help_text="What the token is for, such as “nightly pipeline”.")
    scope = forms.ChoiceField(choices=TokenScope.choices, initial=TokenScope.READ)
    days = forms.IntegerField(
        label="Expires after (days)", min_value=1, max_value=MAX_TOKEN_DAYS, initial=90, help_text="At most 365."
    )


class InvitedAccountForm(forms.Form):
    """What a new member fills in after following their invitation."""

    first_name = forms.CharField(max_length=150, required=False, widget=forms.TextInput({"autocomplete": "given-name"}))
    last_name = forms.CharField(max_length=150, required=False, widget=forms.TextInput({"autocomplete": "family-name"}))
    password = forms.CharField(widget=forms.PasswordInput({"autocomplete": "new-password"}))
    password_again = forms.CharField(widget=forms.PasswordInput({"autocomplete": "new-password"}))

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        validate_password(password)
        return password

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "password" in cleaned and cleaned["password"] != cleaned.get("password_again"):
            self.add_error("password_again", "The two passwords differ. Enter the same password twice.")
        return cleaned
