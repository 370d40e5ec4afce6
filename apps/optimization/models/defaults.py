"""The criteria that a new session starts with when nobody names others."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import Team
from apps.optimization.models.criteria import CriteriaSet


class DefaultCriteria(models.Model):
    """A team's default, or a member's own in that team, which takes precedence.

    It refers to the newest version: a change of the criteria moves it, and retiring them removes it.
    """

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="default_criteria")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, related_name="default_criteria"
    )
    """The member whose own default it is; empty for the team's."""
    criteria_set = models.ForeignKey(CriteriaSet, on_delete=models.CASCADE, related_name="default_of")

    class Meta:
        verbose_name_plural = _("default criteria")
        constraints = (
            models.UniqueConstraint(fields=("team", "user"), name="one_default_per_member"),
            # The constraint above treats rows without a user as distinct, and SQLite cannot change that.
            models.UniqueConstraint(fields=("team",), condition=models.Q(user=None), name="one_default_per_team"),
        )

    def __str__(self) -> str:
        return f"{self.criteria_set} for {self.user or self.team}"
