"""The storage a team uses, and its quota."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

from django.db.models import CharField, F, QuerySet, Sum
from django.db.models.functions import Cast

from apps.accounts.models import Team
from apps.models.errors import StoreQuotaExceeded
from apps.models.models import Blob, StoreQuota, StoreSettings, Upload
from apps.visibility import TeamOwnedQuerySet


def used_bytes(team: Team) -> int:
    """The bytes of all files that the team's rows refer to, each counted once, and of unfinished uploads."""
    kept = Blob.objects.of_team(team).aggregate(total=Sum("size_bytes"))["total"] or 0
    coming = Upload.objects.filter(team=team, blob=None).aggregate(total=Sum("received_bytes"))["total"] or 0
    return int(kept + coming)


def used_bytes_by_team() -> Counter[int]:
    """The same of every team that uses any, by its id, in one query."""
    begun = Upload.objects.filter(blob=None).order_by()
    rows: list[QuerySet[Any, Any]] = [begun.values_list("team", Cast("pk", CharField()), "received_bytes")]
    for relation in Blob._meta.related_objects:
        users = cast("TeamOwnedQuerySet[Any]", relation.related_model._default_manager.all())
        blob, team = relation.field.name, F(users.team_path)
        kept = users.exclude(**{blob: None}).order_by().values_list(team, blob, f"{blob}__size_bytes")
        rows.append(kept)
    used: Counter[int] = Counter()
    for team_id, _, size_bytes in rows[0].union(*rows[1:]):
        used[team_id] += size_bytes
    return used


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
