"""The questions that are asked of teams and invitations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.db import models
from django.utils import timezone

from apps.visibility import Member, Row, TeamOwnedQuerySet

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser


class TeamQuerySet(models.QuerySet[Row]):
    def visible_to(self, user: Member | AnonymousUser) -> Self:
        """The teams that `user` is a member of."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(memberships__user=user)


class InvitationQuerySet(TeamOwnedQuerySet[Row]):
    def open(self) -> Self:
        """Invitations that can still be accepted."""
        return self.filter(accepted_at=None, expires_at__gt=timezone.now())
