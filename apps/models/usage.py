"""The storage a team uses, and its quota."""

from __future__ import annotations

from django.db.models import Sum

from apps.accounts.models import Team
from apps.models.errors import StoreQuotaExceeded
from apps.models.models import Blob, StoreQuota, StoreSettings, Upload


def used_bytes(team: Team) -> int:
    """The bytes of all files that the team's rows refer to, each counted once, and of unfinished uploads."""
    kept = Blob.objects.of_team(team).aggregate(total=Sum("size_bytes"))["total"] or 0
    coming = Upload.objects.filter(team=team, blob=None).aggregate(total=Sum("received_bytes"))["total"] or 0
    return int(kept + coming)


def quota_bytes(team: Team) -> int | None:
    """The team's quota; `None` if there is no limit."""
    own = StoreQuota.objects.filter(team=team).first()
    return own.quota_bytes if own is not None else StoreSettings.current().default_quota_bytes


def check_room(team: Team, size_bytes: int, *, field: str = "file") -> None:
    """Raises `StoreQuotaExceeded` if another `size_bytes` would exceed the team's quota."""
    quota = quota_bytes(team)
    if quota is None:
        return
    used = used_bytes(team)
    if used + size_bytes > quota:
        raise StoreQuotaExceeded(
            field=field, team=team.name, size_mb=size_bytes / 1e6, used_mb=used / 1e6, quota_mb=quota / 1e6
        )
