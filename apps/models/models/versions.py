"""Versions of models, and what their inspection has found."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import Team
from apps.agents.contracts.formats import format_spec
from apps.agents.contracts.reports.model import ModelSummary
from apps.models.models.files import Blob
from apps.models.models.inspected import Inspected, pending_index
from apps.models.models.registered import RegisteredModel
from apps.models.querysets import ModelMetadataQuerySet, ModelVersionQuerySet
from apps.texts import storable

LONGEST_SIGNATURE = 200
LONGEST_WORDS = 120
"""The maximum length of short metadata from a file; the rest is cut off."""
LONG_FIELDS = ("weights", "code")
"""The fields of a `ModelSummary` that only a version's own page shows."""


class ModelVersion(Inspected):
    """One immutable file of a model. A version made by Lathe records its parent version, session and step."""

    TALLIED_AS = "model"

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="versions")
    filename = models.CharField(max_length=255)
    description = models.TextField(blank=True)
    parent = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="children")
    source_session = models.UUIDField(null=True, blank=True, editable=False)
    source_step = models.CharField(max_length=60, blank=True, editable=False)
    signature = models.CharField(max_length=LONGEST_SIGNATURE, blank=True, editable=False)
    """The signature that a member chose; empty means the file's default."""
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ModelVersionQuerySet.as_manager()

    class Meta:
        ordering = ("-number",)
        constraints = (models.UniqueConstraint(fields=("model", "number"), name="version_number_unique_in_model"),)
        indexes = (pending_index("version_pending"),)

    def __str__(self) -> str:
        return f"{self.model.name} v{self.number}"

    def get_absolute_url(self) -> str:
        return reverse("models:version-detail", args=[self.model_id, self.number])

    @property
    def owning_team(self) -> Team:
        return self.model.team


class ModelMetadata(models.Model):
    """The results of inspecting a version's file."""

    version = models.OneToOneField(ModelVersion, on_delete=models.CASCADE, related_name="metadata", primary_key=True)
    format = models.CharField(max_length=20)
    parameters = models.BigIntegerField()
    size_bytes = models.BigIntegerField()
    body = models.JSONField()
    """The `ModelSummary` without its long fields. Columns repeat what queries use: a new field needs no migration."""
    details = models.JSONField(default=dict)
    """Its long fields: the weights and the code included with the model."""

    objects = ModelMetadataQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.format} · {self.parameters:,} parameters"

    @classmethod
    def record(cls, version: ModelVersion, summary: ModelSummary) -> ModelMetadata:
        """Stores the inspection result for `version`, replacing any earlier one."""
        body = storable(summary.model_dump(mode="json"))
        body["producer"] = body["producer"][:LONGEST_WORDS]
        body["quantization"] = body["quantization"] and body["quantization"][:LONGEST_WORDS]
        details = {name: body.pop(name) for name in LONG_FIELDS}
        columns = {name: body[name] for name in ("format", "parameters", "size_bytes")}
        return cls.objects.update_or_create(version=version, defaults={**columns, "body": body, "details": details})[0]

    @property
    def format_label(self) -> str:
        """The format in words."""
        return format_spec(self.format).label

    @property
    def summary(self) -> ModelSummary:
        """The metadata as the value that agents use."""
        return ModelSummary.model_validate({**self.body, **self.details})
