"""The results of a session: candidates, reports, and its log."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.agents.contracts.chain import Application, Chain
from apps.agents.contracts.state import CandidateStatus
from apps.ids import present_ids
from apps.models.models import Blob
from apps.optimization.models.choices import choices_of
from apps.optimization.models.session import OptimizationSession
from apps.optimization.models.step import SessionStep
from apps.optimization.querysets import (
    CandidateQuerySet,
    EvaluationQuerySet,
    KeptAnswersQuerySet,
    SessionOwnedQuerySet,
)


class Candidate(models.Model):
    """A chain of applied techniques with its evaluation and its status."""

    session = models.ForeignKey(OptimizationSession, on_delete=models.CASCADE, related_name="candidates")
    key = models.CharField(max_length=20)
    steps = models.JSONField(default=list)
    """Its chain: an `Application` for each technique, from the original to the candidate."""
    title = models.CharField(max_length=200)
    """The titles of its essential links and its last one, for lists and search. `technique` is the last link's."""
    technique = models.CharField(max_length=60)
    parent_key = models.CharField(max_length=20, blank=True)
    predicted = models.JSONField()
    """`Prediction`."""
    status = models.CharField(max_length=10, choices=choices_of(CandidateStatus), default=CandidateStatus.PLANNED)
    reason = models.TextField()
    score = models.FloatField(null=True)

    objects = CandidateQuerySet.as_manager()

    class Meta:
        ordering = ("key",)
        constraints = (models.UniqueConstraint(fields=("session", "key"), name="candidate_key_unique_in_session"),)

    def __str__(self) -> str:
        return f"{self.key} {self.title}"

    @property
    def chain(self) -> Chain:
        return tuple(Application.model_validate(step) for step in self.steps)

    @property
    def last(self) -> Application:
        """The link that it is named after."""
        return self.chain[-1]


class AnalysisReport(models.Model):
    """`apps.agents.contracts.reports.analysis.AnalysisReport` of a session: what its step found."""

    session = models.OneToOneField(
        OptimizationSession, on_delete=models.CASCADE, related_name="analysis", primary_key=True
    )
    step = models.ForeignKey(SessionStep, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = SessionOwnedQuerySet.as_manager()

    def __str__(self) -> str:
        return f"analysis of {self.session_id}"

    @property
    def body(self) -> dict[str, Any]:
        """The report as JSON."""
        return self.step.result


class EvaluationReport(models.Model):
    """`contracts.reports.evaluation.EvaluationReport` of one candidate, with the numbers for lists and plots."""

    candidate = models.OneToOneField(Candidate, on_delete=models.CASCADE, related_name="evaluation", primary_key=True)
    step = models.ForeignKey(SessionStep, on_delete=models.CASCADE, related_name="+")
    """What measured it last: the step that judged a finalist, else the one that ranked it."""
    speedup = models.FloatField()
    size_ratio = models.FloatField()
    metric_drop = models.FloatField()
    candidate_p50_ms = models.FloatField()
    candidate_metric = models.FloatField()
    verdict = models.CharField(max_length=12)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = EvaluationQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.speedup:.2f}× as fast, {self.size_ratio:.2f} times smaller: {self.verdict}"

    @property
    def body(self) -> dict[str, Any]:
        """The report as JSON, without the outcomes of single examples: only a step that judges reads those."""
        return {**self.step.result, "outcomes": None}


class KeptAnswers(models.Model):
    """What both models answered to the examples on which a step judged a candidate (`agents.files.answers_file`)."""

    step = models.OneToOneField(SessionStep, on_delete=models.CASCADE, related_name="answers", primary_key=True)
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="answers")

    objects = KeptAnswersQuerySet.as_manager()

    class Meta:
        verbose_name_plural = _("kept answers")

    def __str__(self) -> str:
        return f"answers of {self.step}"


class LogEntry(models.Model):
    """One line of a step's log, for the live page."""

    session = models.ForeignKey(OptimizationSession, on_delete=models.CASCADE, related_name="log")
    step_key = models.CharField(max_length=60, blank=True)
    level = models.CharField(max_length=7, default="info")
    message = models.TextField()
    at = models.DateTimeField(default=timezone.now)
    context = models.JSONField(default=present_ids, editable=False)
    """The ids of what wrote it (`apps.ids`): worker, attempt, candidate, and the request that led to it."""

    objects = SessionOwnedQuerySet.as_manager()

    class Meta:
        ordering = ("pk",)
        verbose_name_plural = _("log entries")

    def __str__(self) -> str:
        return self.message
