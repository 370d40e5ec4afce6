from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.password_validation import validate_password
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import Role, Team, TokenScope, User
from apps.accounts.service_accounts import LONGEST_NAME, ROLES
from apps.accounts.tokens import MAX_TOKEN_DAYS
from apps.errors import UserError
from apps.languages import languages


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
    email = forms.EmailField(label=_("E-mail address"), widget=forms.EmailInput(attrs={"autocomplete": "off"}))
    role = forms.ChoiceField(label=_("Role"), choices=Role.choices, initial=Role.ENGINEER)


class SavedFilterForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80)
    query = forms.CharField(label=_("Query"), max_length=2000, required=False)
    shared = forms.BooleanField(label=_("Shared"), required=False)


class DisplayForm(forms.Form):
    language = forms.ChoiceField(
        label=_("Language"), choices=languages, required=False, help_text=_("Of pages and mails.")
    )
    time_zone = forms.CharField(
        label=_("Time zone"),
        max_length=60,
        widget=forms.TextInput(attrs={"list": "time-zones", "autocomplete": "off"}),
        help_text=_("Such as Europe/Berlin. Pages and mails show times in it."),
    )


class RoleForm(forms.Form):
    role = forms.ChoiceField(label=_("Role"), choices=Role.choices)


class ServiceTokenForm(forms.Form):
    name = forms.CharField(
        label=_("Name"), max_length=80, help_text=_("What the token is for, such as “nightly pipeline”.")
    )
    scope = forms.ChoiceField(label=_("Scope"), choices=TokenScope.choices, initial=TokenScope.READ)
    days = forms.IntegerField(
        label=_("Expires after (days)"), min_value=1, max_value=MAX_TOKEN_DAYS, initial=90, help_text=_("At most 365.")
    )

    def arguments(self) -> dict[str, Any]:
        """The arguments for the services that make tokens."""
        return {**self.cleaned_data, "scope": TokenScope(self.cleaned_data["scope"])}


class TokenForm(ServiceTokenForm):
    """A token of one's own, for one of one's teams or for all."""

    team = forms.ModelChoiceField(
        label=_("Team"),
        queryset=Team.objects.none(),
        required=False,
        to_field_name="slug",
        empty_label=_("All my teams"),
        help_text=_("A token for one team opens no other, and ends when you leave it."),
    )

    field_order = ("name", "team", "scope", "days")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["team"].queryset = Team.objects.visible_to(user)  # type: ignore[attr-defined]


class ServiceAccountForm(forms.Form):
    name = forms.CharField(
        label=_("Name"), max_length=LONGEST_NAME, help_text=_("What acts with it, such as “release pipeline”.")
    )
    role = forms.ChoiceField(
        label=_("Role"), choices=[(role.value, role.label) for role in ROLES], initial=Role.ENGINEER
    )


class ServiceAccountChangeForm(forms.Form):
    """One change at a time: another role, or disabled or not."""

    role = forms.ChoiceField(label=_("Role"), choices=[(role.value, role.label) for role in ROLES], required=False)
    disabled = forms.NullBooleanField(label=_("Disabled"), required=False)

    def arguments(self) -> dict[str, Any]:
        role, disabled = self.cleaned_data["role"], self.cleaned_data["disabled"]
        return {"role": Role(role) if role else None, "disabled": disabled}


class InvitedAccountForm(forms.Form):
    """What a new member fills in after following their invitation."""

    first_name = forms.CharField(
        label=_("First name"), max_length=150, required=False, widget=forms.TextInput({"autocomplete": "given-name"})
    )
    last_name = forms.CharField(
        label=_("Last name"), max_length=150, required=False, widget=forms.TextInput({"autocomplete": "family-name"})
    )
    password = forms.CharField(label=_("Password"), widget=forms.PasswordInput({"autocomplete": "new-password"}))
    password_again = forms.CharField(
        label=_("Password again"), widget=forms.PasswordInput({"autocomplete": "new-password"})
    )

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        validate_password(password)
        return password

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "password" in cleaned and cleaned["password"] != cleaned.get("password_again"):
            self.add_error("password_again", _("The two passwords differ. Enter the same password twice."))
        return cleaned
