from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.password_validation import validate_password

from apps.accounts.models import Role, Team, TokenScope, User
from apps.accounts.service_accounts import LONGEST_NAME, ROLES
from apps.accounts.tokens import MAX_TOKEN_DAYS
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


class SavedFilterForm(forms.Form):
    name = forms.CharField(max_length=80)
    query = forms.CharField(max_length=2000, required=False)
    shared = forms.BooleanField(required=False)


class TimeZoneForm(forms.Form):
    time_zone = forms.CharField(
        label="Time zone",
        max_length=60,
        widget=forms.TextInput(attrs={"list": "time-zones", "autocomplete": "off"}),
        help_text="Such as Europe/Berlin. Pages and mails show times in it.",
    )


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=Role.choices)


class ServiceTokenForm(forms.Form):
    name = forms.CharField(max_length=80, help_text="What the token is for, such as “nightly pipeline”.")
    scope = forms.ChoiceField(choices=TokenScope.choices, initial=TokenScope.READ)
    days = forms.IntegerField(
        label="Expires after (days)", min_value=1, max_value=MAX_TOKEN_DAYS, initial=90, help_text="At most 365."
    )

    def answers(self) -> dict[str, Any]:
        """The arguments for the services that make tokens."""
        return {**self.cleaned_data, "scope": TokenScope(self.cleaned_data["scope"])}


class TokenForm(ServiceTokenForm):
    """A token of one's own, for one of one's teams or for all."""

    team = forms.ModelChoiceField(
        queryset=Team.objects.none(),
        required=False,
        to_field_name="slug",
        empty_label="All my teams",
        help_text="A token for one team opens no other, and ends when you leave it.",
    )

    field_order = ("name", "team", "scope", "days")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["team"].queryset = Team.objects.visible_to(user)  # type: ignore[attr-defined]


class ServiceAccountForm(forms.Form):
    name = forms.CharField(max_length=LONGEST_NAME, help_text="What acts with it, such as “release pipeline”.")
    role = forms.ChoiceField(choices=[(role.value, role.label) for role in ROLES], initial=Role.ENGINEER)


class ServiceAccountChangeForm(forms.Form):
    """One change at a time: another role, or disabled or not."""

    role = forms.ChoiceField(choices=[(role.value, role.label) for role in ROLES], required=False)
    disabled = forms.NullBooleanField(required=False)

    def answers(self) -> dict[str, Any]:
        role, disabled = self.cleaned_data["role"], self.cleaned_data["disabled"]
        return {"role": Role(role) if role else None, "disabled": disabled}


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
