"""A step: one piece of work of a session."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import F
from django.utils import timezone

from apps.agents.state import Status, StepKind
from apps.models.models import Blob
from apps.optimization.models.choices import choices_of
from apps.optimization.models.session import OptimizationSession
from apps.optimization.querysets import StepQuerySet


class SessionStep(models.Model):
    """One piece of work. Claimed by compare-and-set with a lease; a stale lease goes back to the queue."""

    session = models.ForeignKey(OptimizationSession, on_delete=models.CASCADE, related_name="steps")
    key = models.CharField(max_length=60)
    """Unique in the session: asking twice makes one step."""
    kind = models.CharField(max_length=10, choices=choices_of(StepKind))
    queue = models.CharField(max_length=20, default="cpu")
    candidate_key = models.CharField(max_length=20, blank=True)
    technique = models.CharField(max_length=60, blank=True)
    parameters = models.JSONField(default=dict)
    parent_key = models.CharField(max_length=60, blank=True)
    """Key of the step whose artifact is the input; empty is the original."""
    reason = models.TextField(blank=True)
    status = models.CharField(max_length=10, choices=choices_of(Status), default=Status.QUEUED)
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
    enqueued_at = models.DateTimeField(null=True)
    """When a message was last sent for it; a lost message shows by its age."""
    batch_divisor = models.PositiveIntegerField(default=1)
    """Doubled whenever memory ran out: the handler divides its batches by it."""

    objects = StepQuerySet.as_manager()

    class Meta:
        ordering = ("pk",)
        constraints = (models.UniqueConstraint(fields=("session", "key"), name="step_key_unique_in_session"),)
        indexes = (models.Index(fields=("status", "lease_expires_at"), name="step_stale_lookup"),)

    def __str__(self) -> str:
        return self.key

    @property
    def errored(self) -> bool:
        """Whether it failed by a bug of ours; the traceback is for the operators."""
        return bool(self.traceback)

    @property
    def duration_s(self) -> float | None:
        """Seconds of its last run, once that ended."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()

    # Each move below is a compare-and-set: it happens only if the row still stands where the caller believes it does,
    # and says whether it happened. No lock is held while the work runs.

    def take(self, worker: str, lease: timedelta) -> bool:
        """Queued → running, for `worker`, if it is due and nobody else was faster."""
        now = timezone.now()
        claim = uuid.uuid4()
        taken = (
            SessionStep.objects.filter(pk=self.pk)
            .due(now)
            .update(
                status=Status.RUNNING,
                claim=claim,
                worker=worker,
                lease_expires_at=now + lease,
                attempt=F("attempt") + 1,
                started_at=now,
                finished_at=None,
                progress=0.0,
                message="",
                eta_s=None,
                error_code="",
                error="",
                traceback="",
            )
        )
        if taken:
            self.refresh_from_db()
        return bool(taken and self.claim == claim)

    def renew(self, lease: timedelta) -> bool:
        """A heartbeat of the run that holds the claim."""
        return self._held(lease_expires_at=timezone.now() + lease)

    def note_progress(self, *, progress: float, message: str, eta_s: float | None) -> bool:
        return self._held(progress=min(1.0, max(0.0, progress)), message=message[:300], eta_s=eta_s)

    def keep_artifact(self, blob: Blob, filename: str) -> bool:
        """Refers to the stored file before the step counts as complete, so that it is not collected in between."""
        return self._held(artifact=blob, artifact_filename=filename[:255])

    def complete(self, result: dict[str, Any]) -> bool:
        return self._held(
            status=Status.COMPLETED, result=result, progress=1.0, eta_s=None, **self._released(timezone.now())
        )

    def fail(self, code: str, sentence: str, traceback: str = "", *, stale_at: datetime | None = None) -> bool:
        return self._held(
            stale_at=stale_at,
            status=Status.FAILED,
            error_code=code,
            error=sentence,
            traceback=traceback,
            eta_s=None,
            **self._released(timezone.now()),
        )

    def hand_back(
        self,
        *,
        reason: str,
        not_before: datetime | None = None,
        halve_batches: bool = False,
        counts: bool = True,
        stale_at: datetime | None = None,
    ) -> bool:
        """Running → queued, to be tried again.

        Without `counts` the try is not counted; with `stale_at` it happens only if the lease had run out by then.
        """
        changes: dict[str, Any] = {"status": Status.QUEUED, "not_before": not_before, "message": reason[:300]}
        changes |= {"progress": 0.0, "eta_s": None, "artifact": None, "enqueued_at": None, **self._released(None)}
        if halve_batches:
            changes["batch_divisor"] = self.batch_divisor * 2
        if not counts:
            changes["attempt"] = self.attempt - 1
        return self._held(stale_at=stale_at, **changes)

    def cancel(self, *, stale_at: datetime | None = None) -> bool:
        """Queued, or running under this claim → cancelled."""
        changes = {"status": Status.CANCELLED, "eta_s": None, "artifact": None, **self._released(timezone.now())}
        if self.status == Status.RUNNING:
            return self._held(stale_at=stale_at, **changes)
        return bool(SessionStep.objects.filter(pk=self.pk, status=Status.QUEUED).update(**changes))

    def start_over(self) -> bool:
        """Failed or cancelled → queued, with all its tries before it."""
        stopped = SessionStep.objects.filter(pk=self.pk, status__in=(Status.FAILED, Status.CANCELLED))
        return bool(
            stopped.update(
                status=Status.QUEUED,
                attempt=0,
                not_before=None,
                enqueued_at=None,
                progress=0.0,
                message="",
                error_code="",
                error="",
                traceback="",
                finished_at=None,
            )
        )

    def _held(self, *, stale_at: datetime | None = None, **changes: Any) -> bool:
        """Applies `changes` if this run still holds the claim (and, with `stale_at`, let its lease run out)."""
        held = SessionStep.objects.filter(pk=self.pk, status=Status.RUNNING, claim=self.claim)
        if stale_at is not None:
            held = held.filter(lease_expires_at__lt=stale_at)
        return bool(self.claim and held.update(**changes))

    @staticmethod
    def _released(finished_at: datetime | None) -> dict[str, Any]:
        return {"claim": None, "lease_expires_at": None, "finished_at": finished_at}
