"""Visibility and queries of sessions and their rows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self
from uuid import UUID

from django.db import models
from django.db.models import Case, Exists, F, FloatField, OuterRef, Q, Value, When
from django.db.models.functions import Now

from apps.agents.contracts.state import ACTIVE, CandidateStatus, Outcome, Status
from apps.models import clock
from apps.models.querysets import told_of
from apps.visibility import Member, Row, TeamOwnedQuerySet

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from apps.models.models import DataSet, ModelVersion

WORKER_SILENCE = timedelta(seconds=45)
"""A worker without a heartbeat for this long counts as gone."""


_TOO_BUSY = Q(evaluation__step__result__latency__has_key="busy", evaluation__step__result__latency__busy=True)
"""Candidates that a busy machine could not time. Their stored speed-up is meaningless."""
_KNOWN_SPEEDUP = Case(When(_TOO_BUSY, then=Value(None)), default=F("evaluation__speedup"), output_field=FloatField())
"""Not a filter on rows: for a report without the field, PostgreSQL evaluates the condition to NULL and would omit the
row.
"""


class CriteriaSetQuerySet(TeamOwnedQuerySet[Row]):
    def visible_to(self, user: Member | AnonymousUser) -> Self:
        """The team's own and the built-in profiles."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(Q(team=None) | Q(team__in=user.standing.values("team")))

    def current(self) -> Self:
        return self.filter(current=True)

    def search(self, words: str) -> Self:
        """Criteria whose name or description contains all of `words`."""
        return self.filter(told_of(words))


class SessionQuerySet(TeamOwnedQuerySet[Row]):
    def active(self) -> Self:
        return self.filter(status__in=ACTIVE)

    def locked(self, pk: UUID | str) -> Row:
        """The session, locked until the transaction ends. On SQLite an immediate transaction is the lock.

        The lock does not cover the key, so rows that refer to the session (its log lines) can be added meanwhile.
        """
        return self.select_for_update(no_key=True).get(pk=pk)

    def lock(self, pk: UUID) -> None:
        """Like `locked`, but only takes the lock. Has no effect if the session was deleted."""
        self.select_for_update(no_key=True).filter(pk=pk).first()

    def resting_on(self, versions: Iterable[ModelVersion], datasets: Iterable[DataSet]) -> Self:
        """Sessions of any of `versions`, as their model, their student or what is compared with it, or measured on any
        of `datasets`.
        """
        of_versions = Q(version__in=versions) | Q(student__in=versions) | Q(compared__in=versions)
        return self.filter(of_versions | Q(dataset__in=datasets))

    def judged_on(self, dataset: DataSet) -> Self:
        """The team's sessions, of any model, that have measured a candidate on the file of `dataset` or still may."""
        used = Q(status__in=ACTIVE) | Q(candidates__evaluation__isnull=False)
        return self.filter(used, team=dataset.team_id, dataset__blob=dataset.blob_id).distinct()

    def finished_before(self, moment: datetime) -> Self:
        return self.exclude(status__in=ACTIVE).filter(finished_at__lt=moment)

    def newest_improvements(self) -> Self:
        """Of the sessions that improved the same version on the same data set, the one that finished last: it answers
        their question, so that the older results need no attention.
        """
        same = {"version": OuterRef("version"), "dataset": OuterRef("dataset"), "outcome": Outcome.IMPROVED}
        later = Q(finished_at__gt=OuterRef("finished_at")) | Q(
            finished_at=OuterRef("finished_at"), pk__gt=OuterRef("pk")
        )
        return self.filter(~Exists(self.model._default_manager.filter(later, **same)), outcome=Outcome.IMPROVED)

    def idle(self) -> Self:
        """Active sessions without a queued or running step, which need to be advanced."""
        return self.active().exclude(steps__status__in=ACTIVE)


class SessionOwnedQuerySet(TeamOwnedQuerySet[Row]):
    team_path = "session__team"


class CandidateQuerySet(SessionOwnedQuerySet[Row]):
    def gains_of_selected(self) -> tuple[float | None, float | None]:
        """How much faster and smaller the selected one of these is; `None` if there is none or it is not known."""
        selected = self.filter(status=CandidateStatus.SELECTED)
        return selected.values_list(_KNOWN_SPEEDUP, "evaluation__size_ratio").first() or (None, None)


class StepQuerySet(SessionOwnedQuerySet[Row]):
    def due(self) -> Self:
        """Queued and past their backoff. Uses only the step's own columns, so that it can be part of a
        compare-and-set.
        """
        return self.filter(Q(not_before=None) | Q(not_before__lte=Now()), status=Status.QUEUED)

    def waiting(self) -> Self:
        """Queued steps of sessions that continue, with their sessions."""
        wanted = Q(session__status__in=ACTIVE, session__cancel_requested_at=None)
        return self.filter(wanted, status=Status.QUEUED).select_related("session")

    def stale(self) -> Self:
        """Running, by a worker that no longer renews its lease."""
        return self.filter(status=Status.RUNNING, lease_expires_at__lt=Now())


class SessionTemplateQuerySet(TeamOwnedQuerySet[Row]):
    team_path = "model__team"


class ReportLinkQuerySet(SessionOwnedQuerySet[Row]):
    pass


class EvaluationQuerySet(TeamOwnedQuerySet[Row]):
    team_path = "candidate__session__team"


class KeptAnswersQuerySet(TeamOwnedQuerySet[Row]):
    team_path = "step__session__team"

    def of_candidates(self, session: UUID) -> Self:
        """Those of a session's candidates, the latest of each candidate last."""
        return self.filter(step__session=session).select_related("step", "blob").order_by("step_id")


class SearchTrialQuerySet(SessionOwnedQuerySet[Row]):
    def of_search(self, session: UUID, search: str) -> Self:
        """Those of one search, in the order in which they were proposed."""
        return self.filter(session=session, search=search).order_by("number")


class FingerprintQuerySet(SessionOwnedQuerySet[Row]):
    def of_about(self, parameters: int, factor: int) -> Self:
        """Of models that have at most `factor` times as many parameters as `parameters`, or as few."""
        return self.filter(parameters__gte=parameters // factor, parameters__lte=max(1, parameters) * factor)


class ExperienceQuerySet(TeamOwnedQuerySet[Row]):
    team_path = "fingerprint__session__team"


class WorkerQuerySet(models.QuerySet[Row]):
    def alive(self) -> Self:
        return self.filter(seen_at__gte=clock.after(-WORKER_SILENCE))


class BreakerQuerySet(models.QuerySet[Row]):
    def paused(self) -> Self:
        """Those that are open by the database's clock."""
        return self.filter(closes_at__gt=Now())
