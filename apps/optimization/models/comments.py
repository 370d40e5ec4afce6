"""Comments of members on a session."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from apps.optimization.models.session import OptimizationSession
from apps.optimization.querysets import SessionOwnedQuerySet

LONGEST_COMMENT = 10_000
"""Characters."""


class SessionComment(models.Model):
    """What a member says about a session, in Markdown."""

    session = models.ForeignKey(OptimizationSession, on_delete=models.CASCADE, related_name="comments")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    text = models.TextField(max_length=LONGEST_COMMENT)
    mentioned = models.JSONField(default=list)
    """The ids of the members that it mentions and who were told."""
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    edited_at = models.DateTimeField(null=True, editable=False)

    objects = SessionOwnedQuerySet.as_manager()

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"comment {self.pk} on {self.session}"
