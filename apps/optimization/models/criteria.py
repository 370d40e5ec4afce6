"""Named criteria."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import Team
from apps.agents.contracts.criteria import Criteria
from apps.optimization.querysets import CriteriaSetQuerySet


class CriteriaSet(models.Model):
    """Named criteria. Saving a change creates a new version; a session freezes the one it started with.

    A row without a team is a built-in profile that every team can see and only operators edit.
    """

    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, blank=True, related_name="criteria")
    name = models.CharField(max_length=80)
    version = models.PositiveIntegerField(default=1)
    description = models.TextField(blank=True)
    body = models.JSONField()
    """`Criteria` as JSON, validated."""
    current = models.BooleanField(default=True)
    """Whether this is the newest version of its name."""
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = CriteriaSetQuerySet.as_manager()

    class Meta:
        ordering = ("name", "-version")
        verbose_name = _("criteria")
        verbose_name_plural = _("criteria")
        constraints = (
            models.UniqueConstraint(fields=("team", "name", "version"), name="criteria_version_unique"),
            # The constraint above treats rows without a team as distinct, and SQLite cannot change that.
            models.UniqueConstraint(
                fields=("name", "version"), condition=models.Q(team=None), name="built_in_criteria_version_unique"
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"

    def get_absolute_url(self) -> str:
        return reverse("optimization:criteria-detail", args=[self.pk])

    @property
    def criteria(self) -> Criteria:
        return Criteria.model_validate(self.body)
