"""The settings of a session under a name, to start others of the same model with."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from apps.models.models import DataSet, ModelVersion, RegisteredModel
from apps.optimization.models.criteria import CriteriaSet
from apps.optimization.models.criteria_and_edits import WithCriteriaAndEdits
from apps.optimization.querysets import SessionTemplateQuerySet


class SessionTemplate(WithCriteriaAndEdits, models.Model):
    """What a session was asked, apart from the version: data set, student, criteria and edits of the plan.

    It has a copy of the criteria, with target and budget, so later versions of `criteria_set` do not change it.
    """

    LONGEST_NAME = 80

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="session_templates")
    name = models.CharField(max_length=LONGEST_NAME)
    is_default = models.BooleanField(default=False)
    """Whether the page of a new session of this model is filled in from it."""
    dataset = models.ForeignKey(DataSet, on_delete=models.SET_NULL, null=True, related_name="+")
    """Empty once it is deleted."""
    student = models.ForeignKey(ModelVersion, on_delete=models.SET_NULL, null=True, related_name="+")
    taught = models.BooleanField(default=False)
    """Whether there was a student, which may be deleted by now."""
    criteria_set = models.ForeignKey(CriteriaSet, on_delete=models.SET_NULL, null=True, related_name="+")
    """Where the criteria are from."""
    criteria_body = models.JSONField()
    edits_body = models.JSONField(default=dict)
    """`PlanEdits`; empty if the plan was not edited."""
    make_anew = models.BooleanField(default=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = SessionTemplateQuerySet.as_manager()

    class Meta:
        ordering = ("-is_default", "name")
        constraints = (
            models.UniqueConstraint(fields=("model", "name"), name="template_name_unique_in_model"),
            models.UniqueConstraint(fields=("model",), condition=Q(is_default=True), name="one_default_template"),
        )

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("optimization:template-detail", args=[self.pk])

    @property
    def lacks(self) -> str:
        """What it needs and was deleted: `data set`, `student`, or nothing."""
        if self.dataset_id is None:
            return "data set"
        return "student" if self.taught and self.student_id is None else ""
