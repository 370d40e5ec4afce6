"""The trials of a session's searches for an architecture."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from apps.agents.contracts.searching import TrialCard
from apps.optimization.models.session import OptimizationSession
from apps.optimization.querysets import SearchTrialQuerySet


class SearchTrial(models.Model):
    """One sub-network of a supernet and its score card, written as soon as it is scored.

    What is tried next follows from these rows, so a crash loses at most what was being scored.
    """

    session = models.ForeignKey(OptimizationSession, on_delete=models.CASCADE, related_name="search_trials")
    search = models.CharField(max_length=60)
    """The key of the step that trained the supernet."""
    step_key = models.CharField(max_length=60)
    """Of the step that scored it last."""
    number = models.PositiveIntegerField()
    """In the order in which they were proposed, from 1."""
    values = models.JSONField()
    """The sub-network: the value of each dimension of its space."""
    network = models.JSONField(default=list)
    """The same in words."""
    loss = models.FloatField()
    accuracy = models.FloatField(null=True)
    latency_ms = models.FloatField()
    parameters = models.BigIntegerField()
    macs = models.BigIntegerField()
    alone_loss = models.FloatField(null=True)
    """After a short training alone; empty if it is no finalist, or not trained yet."""
    alone_accuracy = models.FloatField(null=True)
    made_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = SearchTrialQuerySet.as_manager()

    class Meta:
        ordering = ("pk",)
        constraints = (
            models.UniqueConstraint(fields=("session", "search", "number"), name="trial_number_unique_in_search"),
        )

    def __str__(self) -> str:
        return f"trial {self.number} of {self.search}"

    @property
    def state(self) -> str:
        return "scored" if self.alone_loss is None else "trained"

    @property
    def card(self) -> TrialCard:
        return TrialCard.model_validate({name: getattr(self, name) for name in TrialCard.model_fields})
