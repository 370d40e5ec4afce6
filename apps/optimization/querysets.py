"""Visibility and the questions that are asked of sessions and their rows."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.accounts.querysets import TeamOwnedQuerySet
from apps.agents.state import ACTIVE

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from apps.accounts.models import User
    from apps.optimization.models import CriteriaSet, OptimizationSession, Worker

WORKER_SILENCE = timedelta(seconds=45)
"""A worker that was not heard of for this long counts as gone."""


class CriteriaSetQuerySet(TeamOwnedQuerySet["CriteriaSet"]):
    def visible_to(self, user: User | AnonymousUser) -> Self:
        """The team's own and the built-in profiles."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(Q(team=None) | Q(team__in=user.teams.all()))

    def current(self) -> Self:
        return self.filter(current=True)


class SessionQuerySet(TeamOwnedQuerySet["OptimizationSession"]):
    def active(self) -> Self:
        return self.filter(status__in=ACTIVE)


class SessionOwnedQuerySet(TeamOwnedQuerySet[Any]):
    team_path = "session__team"


class WorkerQuerySet(models.QuerySet["Worker"]):
    def alive(self) -> Self:
        return self.filter(seen_at__gte=timezone.now() - WORKER_SILENCE)
