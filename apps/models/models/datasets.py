"""Data sets, for calibration and evaluation."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import Team
from apps.agents.contracts.dataset_spec import DatasetKind
from apps.agents.contracts.reports.dataset import DatasetSummary, Task
from apps.models.models.files import Blob
from apps.models.models.inspected import Inspected, pending_index
from apps.models.querysets import DataSetQuerySet

_KINDS = {
    DatasetKind.NPZ: _("arrays"),
    DatasetKind.IMAGES: _("images"),
    DatasetKind.TABLE: _("table"),
    DatasetKind.TEXT: _("texts"),
}
_TASKS = {
    Task.CLASSIFICATION: _("classification"),
    Task.REGRESSION: _("regression"),
    Task.EMBEDDING: _("embedding"),
    Task.FIDELITY: _("fidelity"),
    Task.LANGUAGE_MODELING: _("language modelling"),
    Task.MULTIPLE_CHOICE: _("multiple choice"),
}


class DataSet(Inspected):
    """Examples for calibration and evaluation, labelled or not. `spec` describes how to read the file
    (`DatasetSpec`).
    """

    TALLIED_AS = "dataset"

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="datasets")
    filename = models.CharField(max_length=255)
    spec = models.JSONField(default=dict)
    summary = models.JSONField(null=True, blank=True, editable=False)
    """`DatasetSummary`, once inspected."""
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = DataSetQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        constraints = (models.UniqueConstraint(fields=("team", "name"), name="dataset_name_unique_in_team"),)
        indexes = (pending_index("dataset_pending"),)

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("models:dataset-detail", args=[self.pk])

    @property
    def owning_team(self) -> Team:
        return self.team

    @property
    def task_words(self) -> str:
        """The task as shown in lists."""
        return str(_TASKS[Task(self.spec["task"])])

    @property
    def kind_words(self) -> str:
        """The kind as shown in lists."""
        return str(_KINDS[DatasetKind(self.spec["kind"])])

    @property
    def described(self) -> DatasetSummary:
        """The summary from inspection as the value that agents use. Only a ready data set has one."""
        return DatasetSummary.model_validate(self.summary)
