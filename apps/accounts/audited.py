"""Audits changes that operators make in the admin, like changes that members make on pages."""

from __future__ import annotations

from typing import Any, cast

from django.db import transaction
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

from apps.accounts.models import Team, User
from apps.audit import trail

SECRET = ("password",)
"""Fields whose values are not recorded, only the fact that they changed."""


class Audited:
    """A mixin for a `ModelAdmin`: records each change under `audit_action` with the values before and after, and each
    deletion under `audit_deletion`.
    """

    audit_action = ""
    audit_deletion = ""
    """May stay empty only where the admin deletes no rows."""

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

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        subject, team = str(obj), self.audit_team(obj)
        super().delete_model(request, obj)  # type: ignore[misc]
        trail.record(self.audit_deletion, actor=cast(User, request.user), team=team, subject=subject)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """One by one, so that each deletion is recorded."""
        with transaction.atomic():
            for row in queryset:
                self.delete_model(request, row)


def _plain(value: Any) -> Any:
    """A value that JSON can represent; rows become their names."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple | set) or hasattr(value, "iterator"):
        return sorted(str(one) for one in value)
    return str(value)
