"""A team's storage and retention: the numbers behind the page and the API, and the service to change them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.files.storage import FileSystemStorage, default_storage
from django.db import transaction
from django.db.models import QuerySet, Sum
from django.utils.translation import gettext as _

from apps.accounts.models import Role, Team, User
from apps.accounts.services import require_role
from apps.agents.contracts.state import StepKind
from apps.audit import trail
from apps.models.models import Blob, DataSet, ModelVersion, Upload
from apps.models.usage import quota_bytes, used_bytes
from apps.optimization import retention
from apps.optimization.models import KeptAnswers, OptimizationSession, RetentionPolicy, SessionStep
from apps.optimization.models.retention import DAYS
from apps.optimization.retention import Removal


@dataclass(frozen=True)
class Storage:
    """Sizes in bytes. A file that several kinds refer to counts in each kind, but once in `used_bytes`."""

    used_bytes: int
    quota_bytes: int | None
    models_bytes: int
    datasets_bytes: int
    candidates_bytes: int
    checkpoints_bytes: int
    """What steps at work keep to go on from if their worker dies."""
    packages_bytes: int
    answers_bytes: int
    """What both models answered when candidates were judged."""
    uploads_bytes: int
    disk_free_bytes: int | None
    """Free space on the store's disk; `None` if the store is not on this machine."""
    policy: RetentionPolicy
    in_force: RetentionPolicy
    """The policy within what the operators allow."""
    would_go: Removal
    """What the retention in force would remove now."""

    @property
    def used_share(self) -> float | None:
        return None if not self.quota_bytes else self.used_bytes / self.quota_bytes

    @property
    def shortened(self) -> tuple[tuple[str, int], ...]:
        """What the operators keep for fewer days than the team says: what it is, and for how many."""
        names = {"artifact_days": _("Candidate files"), "log_days": _("Logs"), "session_days": _("Whole sessions")}
        return tuple(
            (names[name], days)
            for name in DAYS
            if (days := getattr(self.in_force, name)) is not None and days != getattr(self.policy, name)
        )

    @property
    def kinds(self) -> tuple[tuple[str, int], ...]:
        return (
            (_("Models"), self.models_bytes),
            (_("Data sets"), self.datasets_bytes),
            (_("Candidate files"), self.candidates_bytes),
            (_("Checkpoints of running steps"), self.checkpoints_bytes),
            (_("Packages"), self.packages_bytes),
            (_("Predictions of judged candidates"), self.answers_bytes),
            (_("Unfinished uploads"), self.uploads_bytes),
        )


def storage_of(team: Team, policy: RetentionPolicy | None = None) -> Storage:
    """The storage of `team`, and what `policy` (by default its own) would remove."""
    policy = policy or RetentionPolicy.objects.filter(team=team).first() or RetentionPolicy(team=team)
    steps = SessionStep.objects.filter(session__team=team).exclude(kind=StepKind.PACKAGE)
    coming = Upload.objects.filter(team=team, blob=None).aggregate(total=Sum("received_bytes"))["total"]
    return Storage(
        used_bytes=used_bytes(team),
        quota_bytes=quota_bytes(team),
        models_bytes=_size_of(ModelVersion.objects.filter(model__team=team).values("blob")),
        datasets_bytes=_size_of(DataSet.objects.filter(team=team).values("blob")),
        candidates_bytes=_size_of(steps.values("artifact")),
        checkpoints_bytes=_size_of(steps.values("checkpoint")),
        packages_bytes=_size_of(OptimizationSession.objects.filter(team=team).values("package")),
        answers_bytes=_size_of(KeptAnswers.objects.filter(step__session__team=team).values("blob")),
        uploads_bytes=coming or 0,
        disk_free_bytes=_disk_free_bytes(),
        policy=policy,
        in_force=retention.in_force(policy),
        would_go=retention.would_go(team, policy),
    )


def policy_with(team: Team, user: User, days: Mapping[str, int | None]) -> RetentionPolicy:
    """The team's retention with other `days`, for a dry run. It is not saved. Raises `PermissionDenied`."""
    require_role(user, team, Role.OWNER)
    policy = RetentionPolicy.objects.filter(team=team).first() or RetentionPolicy(team=team)
    for name, value in days.items():
        setattr(policy, name, value)
    return policy


def keep_for(team: Team, user: User, days: Mapping[str, int | None]) -> RetentionPolicy:
    """Sets the team's retention. Fields that `days` does not name stay unchanged. Raises `PermissionDenied` below
    owner.
    """
    require_role(user, team, Role.OWNER)
    with transaction.atomic():
        policy, _ = RetentionPolicy.objects.select_for_update().get_or_create(team=team)
        before = {name: getattr(policy, name) for name in DAYS}
        for name, value in days.items():
            setattr(policy, name, value)
        policy.save()
        trail.record_changes("retention.changed", user, team, str(policy), before, policy)
    return policy


def _size_of(blobs: QuerySet[Any, Any]) -> int:
    return int(Blob.objects.filter(pk__in=blobs).aggregate(total=Sum("size_bytes"))["total"] or 0)


def _disk_free_bytes() -> int | None:
    if not isinstance(default_storage, FileSystemStorage):
        return None
    try:
        return shutil.disk_usage(default_storage.location).free
    except FileNotFoundError:  # Nothing has been stored yet.
        return None
