"""Sessions and what they are made of: criteria, steps, candidates, reports, log, audit, workers."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import Team
from apps.agents.criteria import Criteria
from apps.agents.state import ACTIVE, CandidateStatus, Outcome, Phase, Status, StepKind
from apps.models.models import Blob, DataSet, ModelVersion
from apps.optimization.querysets import CriteriaSetQuerySet, SessionOwnedQuerySet, SessionQuerySet, WorkerQuerySet


def _choices(kind: type) -> list[tuple[str, str]]:
    return [(member.value, member.value.replace("_", " ").capitalize()) for member in kind]  # type: ignore[attr-defined]


class CriteriaSet(models.Model):
    """Named criteria. Saving a change makes a new version; a session freezes the one it started with.

    Without a team it is a built-in profile that every team sees and only operators edit.
    """

    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, blank=True, related_name="criteria")
    name = models.CharField(max_length=80)
    version = models.PositiveIntegerField(default=1)
    description = models.TextField(blank=True)
    body = models.JSONField()
    """`Criteria` as JSON, validated."""
    current = models.BooleanField(default=True)
    """Whether this is the newest version of its name."""
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = CriteriaSetQuerySet.as_manager()

    class Meta:
        ordering = ("name", "-version")
        verbose_name = _("criteria")
        verbose_name_plural = _("criteria")
        constraints = (
            models.UniqueConstraint(
                fields=("team", "name", "version"), name="criteria_version_unique", nulls_distinct=False
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"

    def get_absolute_url(self) -> str:
        return reverse("optimization:criteria-detail", args=[self.pk])

    @property
    def criteria(self) -> Criteria:
        return Criteria.model_validate(self.body)


class OptimizationSession(models.Model):
    """One request to make a model better, from the question to the verdict. The database is the truth."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="sessions")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="sessions")
    dataset = models.ForeignKey(DataSet, on_delete=models.PROTECT, related_name="sessions")
    criteria_set = models.ForeignKey(CriteriaSet, on_delete=models.SET_NULL, null=True, related_name="sessions")
    criteria_body = models.JSONField()
    """The frozen copy."""
    seed = models.PositiveIntegerField(default=0)
    status = models.CharField(max_length=10, choices=_choices(Status), default=Status.QUEUED, editable=False)
    phase = models.CharField(max_length=12, choices=_choices(Phase), default=Phase.ANALYSING, editable=False)
    progress = models.FloatField(default=0.0, editable=False)
    eta_s = models.FloatField(null=True, editable=False)
    outcome = models.CharField(max_length=10, choices=_choices(Outcome), blank=True, editable=False)
    verdict = models.JSONField(null=True, editable=False)
    """`Verdict`, once decided."""
    plan = models.JSONField(null=True, editable=False)
    error_code = models.CharField(max_length=80, blank=True, editable=False)
    error = models.TextField(blank=True, editable=False)
    """The sentence for the member when the session failed."""
    cancel_requested_at = models.DateTimeField(null=True, editable=False)
    package = models.ForeignKey(Blob, on_delete=models.PROTECT, null=True, editable=False, related_name="packages")
    result_version = models.ForeignKey(
        ModelVersion, on_delete=models.SET_NULL, null=True, editable=False, related_name="produced_by"
    )
    """The version that the winning artifact became in the store."""
    retry_of = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, editable=False, related_name="retries")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)

    objects = SessionQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.version} · {self.created_at:%Y-%m-%d %H:%M}"

    def get_absolute_url(self) -> str:
        return reverse("optimization:session-detail", args=[self.pk])

    @property
    def criteria(self) -> Criteria:
        return Criteria.model_validate(self.criteria_body)

    @property
    def is_active(self) -> bool:
        return self.status in ACTIVE

    @property
    def channel_group(self) -> str:
        """The channel group that is poked when something of this session changed."""
        return f"session.{self.pk.hex}"


class SessionStep(models.Model):
    """One piece of work. Claimed by compare-and-set with a lease; a stale lease goes back to the queue."""

    session = models.ForeignKey(OptimizationSession, on_delete=models.CASCADE, related_name="steps")
    key = models.CharField(max_length=60)
    """Unique in the session: asking twice makes one step."""
    kind = models.CharField(max_length=10, choices=_choices(StepKind))
    queue = models.CharField(max_length=20, default="cpu")
    candidate_key = models.CharField(max_length=20, blank=True)
    technique = models.CharField(max_length=60, blank=True)
    parameters = models.JSONField(default=dict)
    parent_key = models.CharField(max_length=60, blank=True)
    """Key of the step whose artifact is the input; empty is the original."""
    reason = models.TextField(blank=True)
    status = models.CharField(max_length=10, choices=_choices(Status), default=Status.QUEUED)
    progress = models.FloatField(default=0.0)
    message = models.CharField(max_length=300, blank=True)
    eta_s = models.FloatField(null=True)
    attempt = models.PositiveIntegerField(default=0)
    not_before = models.DateTimeField(null=True)
    """Backoff: not claimed earlier."""
    worker = models.CharField(max_length=120, blank=True)
    claim = models.UUIDField(null=True)
    """The token of the run that holds the lease; writes of a run that lost it are refused."""
    lease_expires_at = models.DateTimeField(null=True)
    result = models.JSONField(default=dict)
    artifact = models.ForeignKey(Blob, on_delete=models.PROTECT, null=True, related_name="steps")
    artifact_filename = models.CharField(max_length=255, blank=True)
    error_code = models.CharField(max_length=80, blank=True)
    error = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    """Only of errors (our bugs); shown to operators."""
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = SessionOwnedQuerySet.as_manager()

    class Meta:
        ordering = ("pk",)
        constraints = (models.UniqueConstraint(fields=("session", "key"), name="step_key_unique_in_session"),)
        indexes = (models.Index(fields=("status", "lease_expires_at"), name="step_stale_lookup"),)

    def __str__(self) -> str:
        return self.key


class Candidate(models.Model):
    """A chain of optimize steps with its evaluation, and what became of it."""

    session = models.ForeignKey(OptimizationSession, on_delete=models.CASCADE, related_name="candidates")
    key = models.CharField(max_length=20)
    title = models.CharField(max_length=200)
    technique = models.CharField(max_length=60)
    parameters = models.JSONField(default=dict)
    parent_key = models.CharField(max_length=20, blank=True)
    predicted = models.JSONField()
    """`Prediction`."""
    status = models.CharField(max_length=10, choices=_choices(CandidateStatus), default=CandidateStatus.PLANNED)
    reason = models.TextField()
    score = models.FloatField(null=True)

    objects = SessionOwnedQuerySet.as_manager()

    class Meta:
        ordering = ("key",)
        constraints = (models.UniqueConstraint(fields=("session", "key"), name="candidate_key_unique_in_session"),)

    def __str__(self) -> str:
        return f"{self.key} {self.title}"


class AnalysisReport(models.Model):
    """`apps.agents.reports.AnalysisReport` of a session."""

    session = models.OneToOneField(
        OptimizationSession, on_delete=models.CASCADE, related_name="analysis", primary_key=True
    )
    body = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = SessionOwnedQuerySet.as_manager()


class EvaluationReport(models.Model):
    """`apps.agents.reports.EvaluationReport` of one candidate, with the numbers that lists and plots need."""

    candidate = models.OneToOneField(Candidate, on_delete=models.CASCADE, related_name="evaluation", primary_key=True)
    body = models.JSONField()
    speedup = models.FloatField()
    size_ratio = models.FloatField()
    metric_drop = models.FloatField()
    candidate_p50_ms = models.FloatField()
    candidate_metric = models.FloatField()
    verdict = models.CharField(max_length=12)
    created_at = models.DateTimeField(default=timezone.now, editable=False)


class LogEntry(models.Model):
    """One line of a step's log, for the live page."""

    session = models.ForeignKey(OptimizationSession, on_delete=models.CASCADE, related_name="log")
    step_key = models.CharField(max_length=60, blank=True)
    level = models.CharField(max_length=7, default="info")
    message = models.TextField()
    at = models.DateTimeField(default=timezone.now)

    objects = SessionOwnedQuerySet.as_manager()

    class Meta:
        ordering = ("pk",)
        verbose_name_plural = _("log entries")


class Worker(models.Model):
    """A worker process that reported itself: what it can do and what it does now."""

    name = models.CharField(primary_key=True, max_length=120)
    queues = models.JSONField(default=list)
    machine = models.JSONField(default=dict)
    """`Machine`: CPU, flags, accelerators, library versions."""
    started_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)
    current_step = models.ForeignKey(SessionStep, on_delete=models.SET_NULL, null=True, related_name="+")

    objects = WorkerQuerySet.as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class PipelineSettings(models.Model):
    """What operators may tune, effective at once."""

    step_time_limit_minutes = models.PositiveIntegerField(default=60)
    step_memory_limit_bytes = models.BigIntegerField(default=16 * 1024**3)
    max_attempts = models.PositiveIntegerField(default=3)
    """Tries of a step that fails for a transient reason."""
    disabled_techniques = models.JSONField(default=list, blank=True)

    class Meta:
        verbose_name = verbose_name_plural = _("pipeline settings")

    def __str__(self) -> str:
        return "Pipeline settings"

    @classmethod
    def current(cls) -> PipelineSettings:
        return cls.objects.get_or_create(pk=1)[0]
