"""Who sees which notifications, channels and deliveries, and which deliveries are due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.visibility import Member, Row

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser


def speaks_for_installation(user: Any) -> bool:
    """Whether the user is an operator, and does not speak by a token for one team."""
    bound = user.token is not None and user.token.team_id is not None
    return bool(user.is_staff and not bound)


def _in_reach(user: Any, prefix: str = "") -> Q:
    """Rows of the user's teams and, for operators, rows of the installation. A token for one team opens only those of
    that team.
    """
    reach = Q(**{f"{prefix}team__in": user.standing.values("team")})
    return reach | Q(**{f"{prefix}team": None}) if speaks_for_installation(user) else reach


class BellQuerySet(models.QuerySet[Row]):
    def visible_to(self, user: Member | AnonymousUser) -> Self:
        """The user's own entries, without those of teams they have left."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(_in_reach(user, "notification__"), user=user)

    def unread(self) -> Self:
        return self.filter(read_at=None)


class ChannelQuerySet(models.QuerySet[Row]):
    def visible_to(self, user: Member | AnonymousUser) -> Self:
        """The user's own channels in their teams, and their teams' channels. Nobody sees another member's."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(_in_reach(user), Q(user=user) | Q(user=None))

    def switched_on(self) -> Self:
        """Channels that are on and whose owner, if they have one, may still be told."""
        member = Q(user__is_active=True) & (
            Q(team__memberships__user=models.F("user")) | Q(team=None, user__is_staff=True)
        )
        return self.filter(Q(user=None) | member, enabled=True).distinct()


class DeliveryQuerySet(models.QuerySet[Row]):
    def visible_to(self, user: Member | AnonymousUser) -> Self:
        if not user.is_authenticated:
            return self.none()
        return self.filter(_in_reach(user, "channel__"), Q(channel__user=user) | Q(channel__user=None))

    def due(self) -> Self:
        """Deliveries to be tried now: waiting, with their time come, and not claimed by a living worker."""
        free = Q(claimed_until=None) | Q(claimed_until__lt=Now())
        return self.filter(free, status="waiting", due_at__lte=Now())
