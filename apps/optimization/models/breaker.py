"""A circuit breaker: what keeps failing is paused, and tried again after a while."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.optimization.querysets import BreakerQuerySet


class BreakerKind(models.TextChoices):
    TECHNIQUE = "technique", _("technique")
    WORKER = "worker", _("worker")


class Breaker(models.Model):
    """The failures in a row of one technique or one worker process. Without any, there is no row.

    *Closed*: it works as usual, and failures are counted. *Open*: it is paused. *Half open*: the pause is over, it is
    tried again, and the next end decides: a success removes the row, a failure opens it again.
    """

    kind = models.CharField(max_length=10, choices=BreakerKind.choices)
    name = models.CharField(max_length=120)
    """The technique's, or the worker's."""
    failures = models.JSONField(default=list)
    """`breakers.Failed`, oldest first: of a technique one for each model, of a worker one for each step."""
    opened_at = models.DateTimeField(null=True)
    """When it was paused last; empty while it is closed."""
    closes_at = models.DateTimeField(null=True)
    """The end of the pause."""

    objects = BreakerQuerySet.as_manager()

    class Meta:
        ordering = ("kind", "name")
        constraints = (models.UniqueConstraint(fields=("kind", "name"), name="breaker_unique"),)
        verbose_name = _("circuit breaker")

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.name}"

    def open_at(self, now: datetime) -> bool:
        """Whether it is paused at that moment of the database's clock."""
        return self.closes_at is not None and self.closes_at > now

    def pause(self, now: datetime, cooldown: timedelta) -> None:
        """Closed or half open → open."""
        self.opened_at, self.closes_at = now, now + cooldown
