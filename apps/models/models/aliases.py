"""Aliases, and the history of their moves."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from apps.models.models.registered import RegisteredModel
from apps.models.models.versions import ModelVersion
from apps.models.querysets import AliasQuerySet


class Alias(models.Model):
    """A movable name, such as `production`, that points at one version of a model."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="aliases")
    name = models.SlugField(max_length=60)
    # RESTRICT, not PROTECT: a version that an alias points at stays, but the whole model may go with both.
    version = models.ForeignKey(ModelVersion, on_delete=models.RESTRICT, related_name="aliases")
    protected = models.BooleanField(default=False)
    """Whether a move needs the approval of a second member (`apps.models.approvals`)."""

    objects = AliasQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        constraints = (models.UniqueConstraint(fields=("model", "name"), name="alias_unique_in_model"),)

    def __str__(self) -> str:
        return self.name


class AliasMove(models.Model):
    """One move of an alias. Moving back adds a new move that names the one it undoes, so the history only grows."""

    alias = models.ForeignKey(Alias, on_delete=models.CASCADE, related_name="moves")
    from_version = models.ForeignKey(ModelVersion, on_delete=models.SET_NULL, null=True, related_name="+")
    to_version = models.ForeignKey(ModelVersion, on_delete=models.SET_NULL, null=True, related_name="+")
    reason = models.TextField(blank=True)
    undoes = models.OneToOneField("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="undone_by")
    moved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    """The second member, if the alias was protected."""
    moved_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"{self.alias}: {self.from_version or '—'} → {self.to_version or '—'}"
