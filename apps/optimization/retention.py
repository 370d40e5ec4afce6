"""Retention: shows what a team no longer keeps, and removes it.

A dry run and a real run use the same queries, so that exactly what was shown is removed. The store garbage-collects
files once no row refers to them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet, Sum
from django.utils import timezone

from apps.accounts.models import Team
from apps.agents.contracts.state import StepKind
from apps.audit import trail
from apps.models.models import Blob
from apps.optimization.models import LogEntry, OptimizationSession, PipelineSettings, RetentionPolicy, SessionStep
from apps.optimization.models.retention import DAYS
from apps.optimization.services.removal import remove


@dataclass(frozen=True)
class Removal:
    """The amount that is removed, or would be."""

    sessions: int = 0
    artifacts: int = 0
    artifact_bytes: int = 0
    """The size of those artifacts' files. Files that other rows refer to stay in the store."""
    log_lines: int = 0

    def __bool__(self) -> bool:
        return bool(self.sessions or self.artifacts or self.log_lines)


def in_force(policy: RetentionPolicy) -> RetentionPolicy:
    """The policy within what the operators allow: of both numbers of days, the smaller one. It is not saved."""
    most = PipelineSettings.current()
    days = {name: [one for one in (getattr(policy, name), getattr(most, name)) if one is not None] for name in DAYS}
    return RetentionPolicy(team=policy.team, **{name: min(found, default=None) for name, found in days.items()})


def policies() -> list[RetentionPolicy]:
    """The policies of all teams. Teams without one of their own have one as well, where the operators keep nothing
    forever."""
    own = {policy.team_id: policy for policy in RetentionPolicy.objects.select_related("team")}
    most = PipelineSettings.current()
    if all(getattr(most, name) is None for name in DAYS):
        return list(own.values())
    return [own.get(team.pk) or RetentionPolicy(team=team) for team in Team.objects.order_by("pk")]


class Overdue:
    """What a policy, within what the operators allow, no longer keeps at a given time."""

    def __init__(self, policy: RetentionPolicy, now: datetime) -> None:
        self._policy, self._now = in_force(policy), now
        self._ended = OptimizationSession.objects.filter(team=policy.team)

    def sessions(self) -> QuerySet[OptimizationSession]:
        return self._past(self._policy.session_days)

    def artifacts(self) -> QuerySet[SessionStep]:
        """Steps whose file is no longer kept. Excludes deleted sessions and the winning artifacts."""
        handed_over = SessionStep.objects.filter(
            session=OuterRef("session"), kind=StepKind.PACKAGE, parent_key=OuterRef("key")
        )
        steps = SessionStep.objects.filter(session__in=self._staying(self._policy.artifact_days))
        steps = steps.exclude(artifact=None).exclude(kind=StepKind.PACKAGE)
        return steps.exclude(Exists(handed_over))

    def log(self) -> QuerySet[LogEntry]:
        return LogEntry.objects.filter(session__in=self._staying(self._policy.log_days))

    def measure(self) -> Removal:
        artifacts = self.artifacts()
        files = Blob.objects.filter(pk__in=artifacts.values("artifact"))
        return Removal(
            sessions=self.sessions().count(),
            artifacts=artifacts.count(),
            artifact_bytes=files.aggregate(total=Sum("size_bytes"))["total"] or 0,
            log_lines=self.log().count(),
        )

    def _past(self, days: int | None) -> QuerySet[OptimizationSession]:
        if days is None:
            return OptimizationSession.objects.none()
        return self._ended.finished_before(self._now - timedelta(days=days))

    def _staying(self, days: int | None) -> QuerySet[OptimizationSession]:
        return self._past(days).exclude(pk__in=self.sessions().values("pk"))


def would_go(team: Team, policy: RetentionPolicy | None = None) -> Removal:
    """The dry run: what `policy`, or the team's own policy, would remove now."""
    policy = policy or RetentionPolicy.objects.filter(team=team).first() or RetentionPolicy(team=team)
    return Overdue(policy, timezone.now()).measure()


def apply(policy: RetentionPolicy) -> Removal:
    """Removes what is overdue and records the amount. A session that was resumed meanwhile stays."""
    overdue = Overdue(policy, timezone.now())
    sessions = sum(_remove_session(overdue, pk) for pk in list(overdue.sessions().values_list("pk", flat=True)))
    with transaction.atomic():
        gone = replace(overdue.measure(), sessions=sessions)
        SessionStep.objects.filter(pk__in=list(overdue.artifacts().values_list("pk", flat=True))).update(artifact=None)
        overdue.log().delete()
        if gone:
            trail.record("retention.applied", team=policy.team, subject=str(policy), data=asdict(gone))
    return gone


def apply_all() -> dict[str, Removal]:
    """Applies every team's policy in turn. Returns what was removed by team slug."""
    return {policy.team.slug: apply(policy) for policy in policies()}


@transaction.atomic
def _remove_session(overdue: Overdue, pk: UUID) -> bool:
    OptimizationSession.objects.select_for_update().filter(pk=pk).first()
    session = overdue.sessions().filter(pk=pk).first()
    if session is None:
        return False
    remove(session, None, reason="The session is older than the retention of the team or the installation allows.")
    return True
