"""Who may see what: one `visible_to(user)` for pages, API and admin alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar

from django.db import models

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

Row = TypeVar("Row", bound=models.Model)


class Member(Protocol):
    """A person who has logged in, as far as visibility asks."""

    @property
    def is_authenticated(self) -> Literal[True]: ...

    @property
    def memberships(self) -> Any: ...

    @property
    def teams(self) -> Any: ...


class TeamOwnedQuerySet(models.QuerySet[Row]):
    """Rows that belong to a team, directly or along `team_path`. A stranger's rows do not exist (404)."""

    team_path = "team"

    def visible_to(self, user: Member | AnonymousUser) -> Self:
        """The rows of the teams that `user` is a member of."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(**{f"{self.team_path}__in": user.memberships.values("team")})
