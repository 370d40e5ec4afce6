"""The history that the planner learns from: the fingerprint of each ended session, and what its candidates showed."""

from __future__ import annotations

from django.db import models

from apps.optimization.models.session import OptimizationSession
from apps.optimization.querysets import ExperienceQuerySet, FingerprintQuerySet


class SessionFingerprint(models.Model):
    """What decides for which other sessions this one's measurements count."""

    session = models.OneToOneField(
        OptimizationSession, on_delete=models.CASCADE, related_name="fingerprint", primary_key=True
    )
    body = models.JSONField()
    """`contracts.experience.Fingerprint`."""
    parameters = models.BigIntegerField()
    """Of the model, to find sessions on models of about its size."""
    measured_at = models.DateTimeField()
    """When the session ended."""
    libraries = models.JSONField(default=dict)
    """The versions on the machine that measured it."""

    objects = FingerprintQuerySet.as_manager()

    class Meta:
        indexes = (models.Index(fields=("-measured_at", "session"), name="fingerprint_lately"),)

    def __str__(self) -> str:
        return f"fingerprint of {self.session_id}"


class Experience(models.Model):
    """One measured candidate: `contracts.experience.Experience`, number by number."""

    fingerprint = models.ForeignKey(SessionFingerprint, on_delete=models.CASCADE, related_name="experiences")
    key = models.CharField(max_length=20)
    kinds = models.JSONField()
    family = models.CharField(max_length=120)
    chain = models.JSONField()
    """Its techniques with their parameters."""
    tables = models.JSONField()
    """`Expected`: what specs and tables said."""
    predicted = models.JSONField()
    """`Expected`: what the plan said."""
    speedup = models.JSONField(null=True)
    """`Estimate`; `None` if the machine was too busy to time it."""
    size_ratio = models.FloatField()
    drop = models.JSONField()
    """`Estimate`."""
    minutes = models.FloatField(null=True)
    verdict = models.CharField(max_length=12)
    loss_verdict = models.CharField(max_length=12, blank=True, default="")
    """Of the loss alone; empty without a limit on it, and in rows from before it was kept."""

    objects = ExperienceQuerySet.as_manager()

    class Meta:
        ordering = ("key",)
        constraints = (models.UniqueConstraint(fields=("fingerprint", "key"), name="experience_key_unique_in_session"),)

    def __str__(self) -> str:
        return f"{self.key} of {self.fingerprint_id}"
