"""Stored counts. They only grow, and outlive the rows whose events they counted."""

from __future__ import annotations

from django.db import models


class Tally(models.Model):
    """How often something has happened, with one set of labels."""

    family = models.CharField(max_length=60)
    """The name of its `tallies.Family`."""
    labels = models.CharField(max_length=200)
    """The values of the family's labels, in their order, as JSON."""
    bucket = models.PositiveSmallIntegerField(default=0)
    """Of a family with bounds: the position of the first bound that is not exceeded."""
    events = models.BigIntegerField(default=0)
    total = models.FloatField(default=0.0)
    """The sum of what was measured: seconds, bytes."""

    class Meta:
        constraints = (models.UniqueConstraint(fields=("family", "labels", "bucket"), name="one_tally_per_label_set"),)

    def __str__(self) -> str:
        return f"{self.family} {self.labels}: {self.events}"
