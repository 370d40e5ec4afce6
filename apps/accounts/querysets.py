"""The questions that are asked of teams, their members and invitations, and of logins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.db import models
from django.utils import timezone

from apps.texts import storable
from apps.visibility import Member, Row, TeamOwnedQuerySet

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser


class TeamQuerySet(models.QuerySet[Row]):
    def visible_to(self, user: Member | AnonymousUser) -> Self:
        """The teams that `user` is a member of, or the one that the request's token opens."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(pk__in=user.standing.values("team"))


class InvitationQuerySet(TeamOwnedQuerySet[Row]):
    def open(self) -> Self:
        """Invitations that can still be accepted."""
        return self.filter(accepted_at=None, expires_at__gt=timezone.now())


class MembershipQuerySet(TeamOwnedQuerySet[Row]):
    def people(self) -> Self:
        """Those of people, without service accounts."""
        return self.filter(user__service_of=None).select_related("user", "team")

    def search(self, words: str) -> Self:
        """Those of users who have all of `words` in their name or address."""
        condition = models.Q()
        for word in storable(words).split():
            named = models.Q(user__first_name__icontains=word) | models.Q(user__last_name__icontains=word)
            condition &= named | models.Q(user__email__icontains=word)
        return self.filter(condition)


class SavedFilterQuerySet(TeamOwnedQuerySet[Row]):
    def visible_to(self, user: Member | AnonymousUser) -> Self:
        """One's own, and those that others share with a team of `user`."""
        if not user.is_authenticated:
            return self.none()
        return super().visible_to(user).filter(models.Q(user=user.pk) | models.Q(shared=True))


class LoginQuerySet(models.QuerySet[Row]):
    def live(self) -> Self:
        """Those whose session has not expired."""
        return self.filter(session__expire_date__gt=timezone.now())
