"""Visibility: one `visible_to(user)` for pages, API and admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeVar

from django.db import models
from django.utils import timezone

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    # Some are used as strings in the classes' type arguments.
    from apps.accounts.models import Invitation, Team, User  # noqa: F401


Row = TypeVar("Row", bound=models.Model)


class TeamOwnedQuerySet(models.QuerySet[Row]):
    """Rows that belong to a team, directly or along `team_path`. Rows of other teams appear not to exist (404)."""

    team_path = "team"

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """The rows of all teams of `user`."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(**{f"{self.team_path}__in": user.memberships.values("team")})


class TeamQuerySet(models.QuerySet["Team"]):
    def visible_to(self, user: User | AnonymousUser) -> Self:
        """The teams of `user`."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(memberships__user=user)


class InvitationQuerySet(TeamOwnedQuerySet["Invitation"]):
    def open(self) -> Self:
        """Invitations that can still be accepted."""
        return self.filter(accepted_at=None, expires_at__gt=timezone.now())
