"""Visibility: one `visible_to(user)` for pages, API and admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar

from django.db import models

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

Row = TypeVar("Row", bound=models.Model)


class Member(Protocol):
    """The part of a logged-in user that visibility depends on."""

    @property
    def is_authenticated(self) -> Literal[True]: ...

    @property
    def pk(self) -> Any: ...

    @property
    def standing(self) -> Any: ...


class TeamOwnedQuerySet(models.QuerySet[Row]):
    """Rows that belong to a team, directly or along `team_path`. Rows of other teams appear not to exist (404)."""

    team_path = "team"

    def visible_to(self, user: Member | AnonymousUser) -> Self:
        """The rows of all teams of `user`, or of the one that the request's token opens."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(**{f"{self.team_path}__in": user.standing.values("team")})
