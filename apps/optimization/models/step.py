"""A step: one piece of work of a session."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.db import models, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from apps.agents.contracts.chain import MODEL
from apps.agents.contracts.errors.techniques import TechniqueNoEffect
from apps.agents.contracts.faults import Fault
from apps.agents.contracts.job import QuietWait
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.state import TERMINAL, Status, StepKind
from apps.agents.session import halving
from apps.models import clock
from apps.models.models import Blob
from apps.optimization import own_time, tallies
from apps.optimization.curves import Curves
from apps.optimization.models.choices import choices_of
from apps.optimization.models.session import OptimizationSession
from apps.optimization.querysets import StepQuerySet

MOST_TIMES_OVER = 10
"""So many times the usual number of attempts a step has at most, even if each of them keeps a checkpoint."""


class SessionStep(models.Model):
    """One piece of work. Claimed by compare-and-set with a lease; a step with a stale lease goes back to the queue."""

    session = models.ForeignKey(OptimizationSession, on_delete=models.CASCADE, related_name="steps")
    key = models.CharField(max_length=60)
    """Unique in the session, so that a repeated request creates one step."""
    kind = models.CharField(max_length=10, choices=choices_of(StepKind))
    queue = models.CharField(max_length=20, default="cpu")
    candidate_key = models.CharField(max_length=20, blank=True)
    technique = models.CharField(max_length=60, blank=True)
    parameters = models.JSONField(default=dict)
    parent_key = models.CharField(max_length=60, blank=True)
    """Key of the step whose artifact is the model that it starts from; empty means the original."""
    further_parents = models.JSONField(default=dict, blank=True)
    """Keys of the steps whose artifacts it reads as well, by role, or `ORIGINAL`."""
    reason = models.TextField(blank=True)
    status = models.CharField(max_length=10, choices=choices_of(Status), default=Status.QUEUED)
    progress = models.FloatField(default=0.0)
    message = models.CharField(max_length=300, blank=True)
    eta_s = models.FloatField(null=True)
    quiet_waited_s = models.FloatField(null=True)
    """How long its last run has waited for a quiet machine before timing; empty before it could have."""
    quiet_left_s = models.FloatField(default=0.0)
    """How long it may still wait for one."""
    attempt = models.PositiveIntegerField(default=0)
    not_before = models.DateTimeField(null=True)
    """Backoff: the step is not claimed before this time."""
    worker = models.CharField(max_length=120, blank=True)
    claim = models.UUIDField(null=True)
    """The token of the run that holds the lease. Writes of a run that lost it are refused."""
    lease_expires_at = models.DateTimeField(null=True)
    result = models.JSONField(default=dict)
    identity = models.CharField(max_length=64, blank=True, db_index=True)
    """What decides its result, as one key (`apps.agents.contracts.identity`); empty if it has none."""
    taken_from = models.JSONField(default=dict, blank=True)
    """Where its result comes from (`taking_over.TakenOver`); empty if it was carried out."""
    artifact = models.ForeignKey(Blob, on_delete=models.PROTECT, null=True, related_name="steps")
    artifact_filename = models.CharField(max_length=255, blank=True)
    collected_at = models.DateTimeField(null=True)
    """When its session let the file go, because nothing read it any more. It is not lost: its recipe makes it again."""
    checkpoint = models.ForeignKey(Blob, on_delete=models.PROTECT, null=True, related_name="checkpointed_steps")
    """What its job kept for a next attempt; empty once the step has ended."""
    checkpoint_of = models.CharField(max_length=64, blank=True)
    """The identity of the job that kept it. A job of another identity must not use it."""
    advanced_at_attempt = models.PositiveIntegerField(default=0)
    """The last attempt that kept a checkpoint: the tries before it have not been for nothing."""
    curves = models.JSONField(default=dict, blank=True)
    """What it measured while it trained (`apps.optimization.curves`)."""
    error_code = models.CharField(max_length=80, blank=True)
    error = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    """Only for internal errors (bugs in Lathe). Shown to operators."""
    fault = models.CharField(max_length=20, choices=choices_of(Fault), blank=True)
    """The cause, if it was not the work itself that failed. A resumed session repeats such a step."""
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True)
    """The start of its last run; empty while it is queued."""
    earlier_runs = models.JSONField(default=list)
    """Start and end of each earlier run, in ISO 8601. They count as its session's own time."""
    finished_at = models.DateTimeField(null=True)
    enqueued_at = models.DateTimeField(null=True)
    """When a message was last sent for it. An old time reveals a lost message."""
    batch_divisor = models.PositiveIntegerField(default=1)
    """Doubled whenever memory runs out. The handler divides its batch size by it."""

    objects = StepQuerySet.as_manager()

    class Meta:
        ordering = ("pk",)
        constraints = (models.UniqueConstraint(fields=("session", "key"), name="step_key_unique_in_session"),)
        indexes = (
            models.Index(fields=("status", "lease_expires_at"), name="step_stale_lookup"),
            models.Index(fields=("finished_at",), name="step_lately"),
        )

    def __str__(self) -> str:
        return self.key

    @property
    def in_words(self) -> str:
        """What the step does, and how far a ranking in portions went; empty where the page says it elsewhere."""
        if self.kind == StepKind.PACKAGE or (self.kind == StepKind.OPTIMIZE and self.candidate_key):
            return ""
        if self.kind == StepKind.EVALUATE and self.status == Status.COMPLETED and self.parameters.get("in_portions"):
            outcome = halving.in_words(EvaluationReport.model_validate(self.result))
            return f"{self.reason} {self.candidate_key} was {outcome[1]}" if outcome else self.reason
        return self.reason

    @property
    def had_nothing_to_change(self) -> bool:
        """It ended without a file because its technique had nothing to do here, which is not a fault."""
        return self.status == Status.FAILED and self.error_code == TechniqueNoEffect.code

    @property
    def parents(self) -> dict[str, str]:
        """Key of the step whose artifact is each input, by role. Without `MODEL` that is the original."""
        return {**({MODEL: self.parent_key} if self.parent_key else {}), **self.further_parents}

    @property
    def errored(self) -> bool:
        """Whether it failed because of a bug in Lathe. The traceback is for the operators."""
        return bool(self.traceback)

    @property
    def duration_s(self) -> float | None:
        """The duration of its last run in seconds, once that has ended."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def waited_s(self) -> float | None:
        """Seconds from its announcement, or the end of its backoff, to the start of its last run."""
        ready_at = max(filter(None, (self.enqueued_at, self.not_before)), default=None)
        if self.started_at is None or ready_at is None:
            return None
        return max(0.0, (self.started_at - ready_at).total_seconds())

    def tried_enough(self, most: int) -> bool:
        """Whether `most` attempts in a row have kept no checkpoint, or far more than that have been made in all."""
        return self.attempt - self.advanced_at_attempt >= most or self.attempt >= MOST_TIMES_OVER * most

    # Each move below is a compare-and-set: it happens only if the row is still in the expected state, and returns
    # whether it happened. No lock is held while the work runs. A move that ends a step briefly locks its session, so
    # that `pipeline.advance` sees the step either before or after its end.

    def take(self, worker: str, lease: timedelta) -> bool:
        """Queued → running, for `worker`, if it is due and no other worker was faster."""
        claim = uuid.uuid4()
        taken = (
            SessionStep.objects.filter(pk=self.pk)
            .due()
            .update(
                status=Status.RUNNING,
                claim=claim,
                worker=worker,
                lease_expires_at=clock.after(lease),
                attempt=F("attempt") + 1,
                started_at=Now(),
                finished_at=None,
                progress=0.0,
                message="",
                eta_s=None,
                quiet_waited_s=None,
                quiet_left_s=0.0,
                error_code="",
                error="",
                traceback="",
                fault="",
            )
        )
        if taken:
            self.refresh_from_db()
        return bool(taken and self.claim == claim)

    def renew(self, lease: timedelta) -> bool:
        """A heartbeat of the run that holds the claim."""
        return self._held(lease_expires_at=clock.after(lease))

    def note_progress(self, *, progress: float, message: str, eta_s: float | None) -> bool:
        return self._held(progress=min(1.0, max(0.0, progress)), message=message[:300], eta_s=eta_s)

    def note_quiet_wait(self, wait: QuietWait) -> bool:
        return self._held(quiet_waited_s=wait.so_far_s, quiet_left_s=wait.left_s)

    def note_curves(self, curves: Curves) -> bool:
        return self._held(curves=curves)

    def note_identity(self, identity: str) -> bool:
        """Records what decides its result, as its input files are when it starts."""
        return self._held(identity=identity)

    def keep_artifact(self, blob: Blob, filename: str) -> bool:
        """Records the stored file before the step is complete, so that it is not garbage-collected in between."""
        return self._held(artifact=blob, artifact_filename=filename[:255])

    def keep_checkpoint(self, blob: Blob, identity: str) -> bool:
        """Records what a next attempt goes on from, in place of what was recorded before."""
        return self._held(checkpoint=blob, checkpoint_of=identity, advanced_at_attempt=self.attempt)

    def complete(self, result: dict[str, Any]) -> bool:
        held = self._ended(status=Status.COMPLETED, result=result, progress=1.0)
        if held:
            self.result = result
        return held

    def fail(
        self, code: str, sentence: str, traceback: str = "", *, fault: Fault | None = None, stale: bool = False
    ) -> bool:
        return self._ended(
            stale=stale,
            status=Status.FAILED,
            error_code=code,
            error=sentence,
            traceback=traceback,
            fault=fault or "",
        )

    def hand_back(
        self,
        *,
        reason: str,
        wait: timedelta | None = None,
        halve_batches: bool = False,
        counts: bool = True,
        stale: bool = False,
    ) -> bool:
        """Running → queued, to be retried after `wait`.

        If `counts` is false, the attempt is not counted. If `stale`, it happens only if the lease has expired.
        """
        changes: dict[str, Any] = {"status": Status.QUEUED, "message": reason[:300]}
        changes |= {"not_before": clock.after(wait) if wait else None, "finished_at": None, **_RELEASED}
        changes |= {"progress": 0.0, "eta_s": None, "artifact": None, "enqueued_at": None}
        changes |= {"started_at": None, "earlier_runs": own_time.runs_kept(self, clock.now())}
        if halve_batches:
            changes["batch_divisor"] = self.batch_divisor * 2
        if not counts:
            changes["attempt"] = self.attempt - 1
        held = self._held(stale=stale, **changes)
        if held and counts:
            tallies.RETRIES.count(self.kind, "lease_lost" if stale else "failure")
        return held

    def cancel(self, *, stale: bool = False) -> bool:
        """Queued or running under this claim → cancelled."""
        changes: dict[str, Any] = {"status": Status.CANCELLED, "artifact": None}
        if self.status == Status.RUNNING:
            return self._ended(stale=stale, **changes)
        queued = SessionStep.objects.filter(pk=self.pk, status=Status.QUEUED)
        return bool(queued.update(**changes, **_RELEASED, **_FROM_THE_START, eta_s=None, finished_at=Now()))

    def start_over(self) -> bool:
        """Ended → queued, with a fresh count of attempts."""
        ended = SessionStep.objects.filter(pk=self.pk, status__in=TERMINAL)
        return bool(
            ended.update(
                status=Status.QUEUED,
                attempt=0,
                not_before=None,
                enqueued_at=None,
                progress=0.0,
                message="",
                error_code="",
                error="",
                traceback="",
                fault="",
                artifact=None,
                collected_at=None,
                taken_from={},
                curves={},
                **_FROM_THE_START,
                started_at=None,
                earlier_runs=own_time.runs_kept(self, clock.now()),
                finished_at=None,
            )
        )

    def _ended(self, *, stale: bool = False, **changes: Any) -> bool:
        """Applies `changes` like `_held` and ends the step, under the lock of its session."""
        with transaction.atomic():
            OptimizationSession.objects.lock(self.session_id)
            ended = {**changes, **_RELEASED, **_FROM_THE_START, "eta_s": None, "finished_at": Now()}
            held = self._held(stale=stale, **ended)
            if held:
                self._count(changes)
            return held

    def _count(self, changes: dict[str, Any]) -> None:
        """Counts the end of its last run, in the metrics."""
        result = tallies.ERRORED if changes.get("traceback") else changes["status"]
        lasted_s = (clock.now() - self.started_at).total_seconds() if self.started_at else 0.0
        tallies.STEPS.count(self.kind, result, measured=max(0.0, lasted_s))

    def _held(self, *, stale: bool = False, **changes: Any) -> bool:
        """Applies `changes` if this run still holds the claim (and, with `stale`, if its lease has expired)."""
        held = SessionStep.objects.filter(pk=self.pk, status=Status.RUNNING, claim=self.claim)
        if stale:
            held = held.stale()
        return bool(self.claim and held.update(**changes))


_RELEASED: dict[str, Any] = {"claim": None, "lease_expires_at": None}
_FROM_THE_START: dict[str, Any] = {"checkpoint": None, "checkpoint_of": "", "advanced_at_attempt": 0}
