"""Audits changes that operators make in the admin, like changes that members make on pages."""

from __future__ import annotations

from typing import Any, cast

from django.forms import ModelForm
from django.http import HttpRequest

from apps.accounts.models import Team, User
from apps.audit import trail

SECRET = ("password",)
"""Fields whose values are not recorded, only the fact that they changed."""


class Audited:
    """A mixin for a `ModelAdmin` that records each change with the values before and after, under `audit_action`."""

    audit_action = ""

    def audit_team(self, row: Any) -> Team | None:
        """The team whose audit trail shows the change; `None` for a row that belongs to no team."""
        team = getattr(row, "team", None)
        return team if isinstance(team, Team) else None

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool) -> None:
        super().save_model(request, obj, form, change)  # type: ignore[misc]
        changes = {
            name: [_plain(form.initial.get(name)), _plain(form.cleaned_data.get(name))] for name in form.changed_data
        }
        data = {name: [] if name in SECRET else both for name, both in changes.items() if both[0] != both[1]}
        if data:
            trail.record(
                self.audit_action,
                actor=cast(User, request.user),
                team=self.audit_team(obj),
                subject=str(obj),
                data=data,
            )


def _plain(value: Any) -> Any:
    """A value that JSON can represent; rows become their names."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple | set) or hasattr(value, "iterator"):
        return sorted(str(one) for one in value)
    return str(value)
