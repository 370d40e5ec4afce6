"""A session: one request to make a model better."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import Team
from apps.agents.contracts.forecast import Forecast
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.state import ACTIVE, STOPPED, Headline, Outcome, Phase, Status, Verdict
from apps.agents.session.headline import headline_of
from apps.models import clock
from apps.models.models import Blob, DataSet, ModelVersion
from apps.optimization import own_time
from apps.optimization.errors.lifecycle import SessionMoveRefused
from apps.optimization.models.choices import choices_of
from apps.optimization.models.criteria import CriteriaSet
from apps.optimization.models.criteria_and_edits import WithCriteriaAndEdits
from apps.optimization.querysets import SessionQuerySet

if TYPE_CHECKING:
    from apps.optimization.models.step import SessionStep


class OptimizationSession(WithCriteriaAndEdits, models.Model):
    """One request to make a model better, from the request to the verdict. The database is the source of truth."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="sessions")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="sessions")
    student = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="taught_in")
    """The model that is trained with `version` as its teacher, if one was chosen."""
    compared = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="compared_in")
    """If the session is a comparison: the version that is measured against `version`. Nothing is optimized then."""
    dataset = models.ForeignKey(DataSet, on_delete=models.PROTECT, related_name="sessions")
    criteria_set = models.ForeignKey(CriteriaSet, on_delete=models.SET_NULL, null=True, related_name="sessions")
    criteria_body = models.JSONField()
    """The frozen copy."""
    edits_body = models.JSONField(default=dict, editable=False)
    """`PlanEdits`: what `created_by` changed about the plan before the start. Empty if nothing."""
    seed = models.PositiveIntegerField(default=0)
    status = models.CharField(max_length=10, choices=choices_of(Status), default=Status.QUEUED, editable=False)
    phase = models.CharField(max_length=12, choices=choices_of(Phase), default=Phase.ANALYSING, editable=False)
    progress = models.FloatField(default=0.0, editable=False)
    forecast = models.JSONField(null=True, editable=False)
    """`Forecast` of its last decision. What is shown follows from it and from what has run since (`progress`)."""
    foreseen_s = models.FloatField(null=True, editable=False)
    """How long all of its work should take, as foreseen right after the plan."""
    outcome = models.CharField(max_length=20, choices=choices_of(Outcome), blank=True, editable=False)
    verdict = models.JSONField(null=True, editable=False)
    """`Verdict`, once decided."""
    plan = models.JSONField(null=True, editable=False)
    error_code = models.CharField(max_length=80, blank=True, editable=False)
    error = models.TextField(blank=True, editable=False)
    """The message for the member if the session failed."""
    traceback = models.TextField(blank=True, editable=False)
    """Only for internal errors (bugs in Lathe). Shown to operators."""
    cancel_requested_at = models.DateTimeField(null=True, editable=False)
    package = models.ForeignKey(Blob, on_delete=models.PROTECT, null=True, editable=False, related_name="packages")
    result_version = models.ForeignKey(
        ModelVersion, on_delete=models.SET_NULL, null=True, editable=False, related_name="produced_by"
    )
    """The version made from the winning artifact."""
    retry_of = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, editable=False, related_name="retries")
    continues = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, editable=False, related_name="continued_by"
    )
    """The session whose results it takes over, if it continues one that is not deleted."""
    earlier = models.JSONField(null=True, editable=False)
    """`Earlier`: what that session had left when this one started."""
    make_anew = models.BooleanField(default=False, editable=False)
    """Whether to make every artifact, even if another session has made the same."""
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)
    worked_before_s = models.FloatField(default=0.0, editable=False)
    """`elapsed_s` of earlier runs if the session was resumed, without the pause in between."""
    worked_s = models.FloatField(default=0.0, editable=False)
    """Its own time (`own_time.worked_s`) at its end. While the session is active, it is computed from the steps."""

    speedup = models.FloatField(null=True, editable=False)
    """Of the selected candidate; `None` without one, or if the machine was too busy to time it."""
    size_ratio = models.FloatField(null=True, editable=False)
    """Of the selected candidate."""
    sessions_before = models.PositiveIntegerField(null=True, editable=False)
    """The number of sessions already judged on the same data when this one started."""

    objects = SessionQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        indexes = (
            models.Index(fields=("team", "-created_at", "id"), name="session_list"),
            models.Index(fields=("team", "status", "-created_at", "id"), name="session_by_status"),
            models.Index(fields=("team", "-finished_at"), name="session_lately"),
            # What lists are put in order by: much less to read than the rows themselves.
            models.Index(
                fields=(
                    *("team", "speedup", "size_ratio", "finished_at"),
                    *("version", "dataset", "created_by", "created_at", "id"),
                ),
                name="session_orders",
            ),
            # The few under way, of all teams: sweepers and every page that shows a queue ask for them.
            models.Index(fields=("status",), condition=Q(status__in=sorted(ACTIVE)), name="session_under_way"),
        )

    def __str__(self) -> str:
        return f"{self.version} · {self.created_at:%Y-%m-%d %H:%M}"

    def get_absolute_url(self) -> str:
        return reverse("optimization:session-detail", args=[self.pk])

    @property
    def again_path(self) -> str:
        """The form of a new session, filled in with all that this one was asked."""
        if self.compared_id is None:
            return f"{reverse('optimization:session-new')}?{urlencode({'again': self.pk})}"
        asked = ("version", "compared", "dataset", "criteria_set")
        chosen = {name: pk for name in asked if (pk := getattr(self, f"{name}_id")) is not None}
        return f"{reverse('optimization:session-compare')}?{urlencode(chosen)}"

    @property
    def headline(self) -> Headline | None:
        """Its verdict in one sentence; `None` before there is one. For old verdicts it is derived from
        the evaluation.
        """
        if self.verdict is None:
            return None
        verdict = Verdict.model_validate(self.verdict)
        if verdict.headline is not None:
            return verdict.headline
        row = self.candidates.filter(key=verdict.candidate or "").select_related("evaluation__step").first()
        evaluation = getattr(row, "evaluation", None)
        report = EvaluationReport.model_validate(evaluation.body) if evaluation else None
        return headline_of(verdict, report, self.criteria)

    @property
    def is_active(self) -> bool:
        return self.status in ACTIVE

    @property
    def is_cancellable(self) -> bool:
        """Whether it can be cancelled, and nobody has asked for that yet."""
        return self.is_active and self.cancel_requested_at is None

    @property
    def is_resumable(self) -> bool:
        return self.status in STOPPED

    @property
    def is_worth_another_try(self) -> bool:
        """Whether the same request may end otherwise: it was stopped, or its verdict says what to do."""
        return self.is_resumable or (not self.is_active and bool((self.verdict or {}).get("advice")))

    @property
    def is_promotable(self) -> bool:
        """Whether it delivers an artifact that an alias can be moved to."""
        return self.verdict is not None and self.outcome == Outcome.IMPROVED and self.compared_id is None

    @property
    def channel_group(self) -> str:
        """The channel group that is poked when this session changes."""
        return f"session.{self.pk.hex}"

    def elapsed_s(self, now: datetime | None = None) -> float:
        """Wall-clock seconds since it began, including waiting, without the pause before a resume."""
        if self.started_at is None:
            return self.worked_before_s
        end = self.finished_at or now or timezone.now()
        return self.worked_before_s + max(0.0, (end - self.started_at).total_seconds())

    def own_time_s(self, now: datetime | None = None, steps: Iterable[SessionStep] | None = None) -> float:
        """Seconds during which at least one of its steps ran, which its budget counts. Stored at its end. `steps` are
        its own, if they are at hand.
        """
        if not self.is_active:
            return self.worked_s
        return own_time.worked_s(self.steps.all() if steps is None else steps, now or clock.now())

    def waited_s(self, now: datetime | None = None, steps: Iterable[SessionStep] | None = None) -> float:
        """Seconds since it began during which none of its steps ran: behind other sessions, in a backoff, or in
        between.
        """
        return max(0.0, self.elapsed_s(now) - self.own_time_s(now, steps))

    @property
    def time_summary(self) -> str:
        """A clause such as `worked for 3.2 minutes and waited for 5.0 minutes`."""
        return f"worked for {self.own_time_s() / 60:.1f} minutes and waited for {self.waited_s() / 60:.1f} minutes"

    def begin(self) -> None:
        """Queued → running."""
        self._move("begin", {Status.QUEUED}, status=Status.RUNNING, started_at=clock.now())

    def keep_gains(self) -> None:
        """Takes over how much faster and smaller the selected candidate is, which lists show and are ordered by."""
        gains = self.candidates.gains_of_selected()
        if gains != (self.speedup, self.size_ratio):
            self.speedup, self.size_ratio = gains
            self.save(update_fields=["speedup", "size_ratio"])

    def proceed(self, *, phase: Phase, progress: float, forecast: Forecast | None) -> None:
        """Updates the phase and progress of a running session. Progress never decreases."""
        progress = max(self.progress, min(1.0, progress))
        foreseen = forecast.model_dump(mode="json") if forecast else None
        changes: dict[str, Any] = {"phase": phase, "progress": progress, "forecast": foreseen}
        if forecast and forecast.planned and self.foreseen_s is None:
            changes["foreseen_s"] = self.own_time_s() + forecast.total_s
        self._move("proceed", {Status.RUNNING}, **changes)

    def complete(self, verdict: Verdict, package: Blob | None) -> None:
        """Running → completed, with its verdict."""
        self._move(
            "complete",
            {Status.RUNNING},
            status=Status.COMPLETED,
            verdict=verdict.model_dump(mode="json"),
            outcome=verdict.outcome,
            package=package,
            progress=1.0,
            forecast=None,
            **self._ending(),
        )

    def fail(self, code: str, sentence: str, traceback: str = "") -> None:
        """Active → failed, with a reason for the member."""
        self._move(
            "fail",
            ACTIVE,
            status=Status.FAILED,
            error_code=code,
            error=sentence,
            traceback=traceback,
            forecast=None,
            **self._ending(),
        )

    def request_cancel(self) -> None:
        """Requests cancellation: no further step starts, and running ones stop."""
        self._move("cancel", ACTIVE, cancel_requested_at=self.cancel_requested_at or timezone.now())

    def cancel(self) -> None:
        """Active → cancelled, once none of its steps runs."""
        self._move("cancel", ACTIVE, status=Status.CANCELLED, forecast=None, **self._ending())

    def resume(self) -> None:
        """Failed or cancelled → queued. Completed steps stay; the rest is repeated."""
        self._move(
            "resume",
            STOPPED,
            status=Status.QUEUED,
            worked_before_s=self.elapsed_s(),
            started_at=None,
            finished_at=None,
            cancel_requested_at=None,
            error_code="",
            error="",
            traceback="",
        )

    def reopen(self, move: str) -> None:
        """Completed → queued, because a member asks for more (`move`). The verdict stands until there is another."""
        self._move(
            move,
            {Status.COMPLETED},
            status=Status.QUEUED,
            worked_before_s=self.elapsed_s(),
            started_at=None,
            finished_at=None,
            cancel_requested_at=None,
        )

    def settle(self) -> None:
        """Active → completed with the verdict that stands, because what it was reopened for has ended."""
        self._move("settle", ACTIVE, status=Status.COMPLETED, cancel_requested_at=None, forecast=None, **self._ending())

    def _ending(self) -> dict[str, Any]:
        """The fields that every end sets."""
        now = clock.now()
        return {"finished_at": now, "worked_s": own_time.worked_s(self.steps.all(), now)}

    def _move(self, move: str, allowed: set[Status] | frozenset[Status], **changes: Any) -> None:
        """Applies `changes` if the session is in a status that allows `move`; raises `SessionMoveRefused` otherwise.

        The row must be locked by the caller (`SessionQuerySet.locked`), so that no other process moves it at the same
        time.
        """
        if self.status not in allowed:
            raise SessionMoveRefused(move=move, status=str(self.status))
        for name, value in changes.items():
            setattr(self, name, value)
        self.save(update_fields=list(changes))
