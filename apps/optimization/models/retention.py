"""How long a team keeps what its sessions leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import Team

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise as StrOrPromise


def _days(help_text: StrOrPromise) -> models.PositiveIntegerField[int | None, int | None]:
    return models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)], help_text=help_text)


class RetentionPolicy(models.Model):
    """Days after a session has ended; empty is for ever. What was promoted, packages and audit events always stay."""

    team = models.OneToOneField(Team, on_delete=models.CASCADE, related_name="retention")
    artifact_days = _days(_("Days that candidates' files are kept which were not handed over. Empty: for ever."))
    log_days = _days(_("Days that a session's log is kept. Empty: for ever."))
    session_days = _days(_("Days that a session is kept at all, with its report and package. Empty: for ever."))

    class Meta:
        verbose_name_plural = "retention policies"

    def __str__(self) -> str:
        return f"Retention of {self.team}"
