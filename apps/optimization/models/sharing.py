"""Public links to reports."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.optimization.models.session import OptimizationSession
from apps.optimization.querysets import ReportLinkQuerySet


class ReportLink(models.Model):
    """Who has its address may read the report of one session, without a login, until it expires or is revoked.

    Only the digest of the address's token is kept (`apps.accounts.link_tokens`).
    """

    session = models.ForeignKey(OptimizationSession, on_delete=models.CASCADE, related_name="report_links")
    token_digest = models.CharField(max_length=64, unique=True, editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, editable=False)

    objects = ReportLinkQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-pk")

    def __str__(self) -> str:
        return f"link {self.pk} to the report on {self.session}"

    @property
    def state(self) -> str:
        """`open`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "open" if self.expires_at > timezone.now() else "expired"

    @staticmethod
    def usable(now: datetime) -> Q:
        return Q(revoked_at=None, expires_at__gt=now)
