"""Retention of what a team's sessions leave behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import Team

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise as StrOrPromise


DAYS = ("artifact_days", "log_days", "session_days")
"""What can be kept for a number of days, by a team's policy and by the operators' settings."""


def days_kept(help_text: StrOrPromise) -> models.PositiveIntegerField[int | None, int | None]:
    return models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)], help_text=help_text)


class RetentionPolicy(models.Model):
    """Days after the end of a session; empty means forever. Promoted versions, packages and audit events
    always stay. The operators' settings may keep everything for fewer days.
    """

    team = models.OneToOneField(Team, on_delete=models.CASCADE, related_name="retention")
    artifact_days = days_kept(_("Days to keep candidates' files other than winning artifacts. Empty: forever."))
    log_days = days_kept(_("Days to keep a session's log. Empty: forever."))
    session_days = days_kept(_("Days to keep a whole session, with its report and package. Empty: forever."))

    class Meta:
        verbose_name_plural = _("retention policies")

    def __str__(self) -> str:
        return f"Retention of {self.team}"
