"""Registered models, and what members write on their cards."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import Team
from apps.agents.contracts.reports.card import CardTexts
from apps.models.querysets import RegisteredModelQuerySet


class RegisteredModel(models.Model):
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="models")
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    readme = models.TextField(blank=True)
    """What others should know before they use it, in Markdown. It is a section of every model card."""
    tags = models.JSONField(default=list, blank=True)
    """A list of short strings, lower case, in alphabetical order."""
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = RegisteredModelQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        constraints = (models.UniqueConstraint(fields=("team", "name"), name="model_name_unique_in_team"),)

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("models:model-detail", args=[self.pk])


class EditedCard(models.Model):
    """The sections of a model's cards that members write, in Markdown. `apps.models.cards` changes them."""

    model = models.OneToOneField(RegisteredModel, on_delete=models.CASCADE, related_name="card")
    intended_use = models.TextField(blank=True)
    training_data = models.TextField(blank=True)
    limitations = models.TextField(blank=True)
    ethical_considerations = models.TextField(blank=True)
    contacts = models.TextField(blank=True)
    revision = models.PositiveIntegerField(default=0)
    """Counts the changes. Who edits the card names the one that they have read."""
    edited_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    edited_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"Card of {self.model}"

    @property
    def texts(self) -> CardTexts:
        return CardTexts(**{name: getattr(self, name) for name in CardTexts.model_fields})
