"""What a member no longer wants to be reminded of on the dashboard."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.models.models import AliasRequest, DataSet, ModelVersion
from apps.optimization.models.session import OptimizationSession

ITEMS = ("session", "version", "dataset", "alias_request")
"""The fields of what can be dismissed. A row has one of them."""


def _of_one_item() -> Q:
    """The condition that a row has one item, and no other."""
    found = Q()
    for item in ITEMS:
        found |= Q(**{f"{name}__isnull": name != item for name in ITEMS})
    return found


class Dismissal(models.Model):
    """A member dismissed an item under *Needs your attention*, for themselves only."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="dismissals")
    session = models.ForeignKey(OptimizationSession, on_delete=models.CASCADE, null=True, related_name="+")
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, null=True, related_name="+")
    dataset = models.ForeignKey(DataSet, on_delete=models.CASCADE, null=True, related_name="+")
    alias_request = models.ForeignKey(AliasRequest, on_delete=models.CASCADE, null=True, related_name="+")
    ended_at = models.DateTimeField(null=True)
    """When the session had ended. If it is resumed and ends again, it needs attention again."""

    class Meta:
        constraints = (
            *(models.UniqueConstraint(fields=("user", item), name=f"{item}_dismissed_once") for item in ITEMS),
            models.CheckConstraint(condition=_of_one_item(), name="dismissal_of_one_item"),
        )

    def __str__(self) -> str:
        return f"{self.user}: {self.session or self.version or self.dataset or self.alias_request}"
