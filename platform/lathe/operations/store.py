"""What fills the store, by team, and the disks of this machine."""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import Any

from django.core.cache import cache

from apps.accounts.models import Team
from apps.agents.contracts.values import Value
from apps.models.gauges import STORE_USE_FOR_S, folders
from apps.models.models import StoreSettings
from apps.models.usage import used_bytes_by_team


class TeamUse(Value):
    """What one team's files take in the store. Files that teams share count for each of them."""

    team: str
    """The slug."""
    name: str
    used_bytes: int
    quota_bytes: int | None
    """Null for no limit."""

    @property
    def share(self) -> float | None:
        return self.used_bytes / self.quota_bytes if self.quota_bytes else None


class Disk(Value):
    """A disk that this web process uses."""

    folder: str
    """`var` or `store`."""
    free_bytes: int
    size_bytes: int

    @property
    def used_share(self) -> float:
        return 1 - self.free_bytes / self.size_bytes if self.size_bytes else 0.0


def use_by_team() -> tuple[TeamUse, ...]:
    """The teams that use most first, as of at most a minute ago."""
    kept: Any = cache.get_or_set("operations.store", _summed_up, STORE_USE_FOR_S)
    return tuple(TeamUse.model_validate(one) for one in kept)


def _summed_up() -> list[dict[str, Any]]:
    used, usual = used_bytes_by_team(), StoreSettings.current().default_quota_bytes
    uses = [
        _of_team(team, used[team.pk], usual) for team in Team.objects.select_related("store_quota").order_by("name")
    ]
    return [one.model_dump(mode="json") for one in sorted(uses, key=lambda one: -one.used_bytes)]


def _of_team(team: Team, used_bytes: int, usual: int | None) -> TeamUse:
    own = getattr(team, "store_quota", None)
    return TeamUse(team=team.slug, name=team.name, used_bytes=used_bytes, quota_bytes=own.quota_bytes if own else usual)


def disks() -> tuple[Disk, ...]:
    found = []
    for name, folder in folders():
        with suppress(OSError):  # the folder of a store that nobody has used does not exist
            room = shutil.disk_usage(folder)
            found.append(Disk(folder=name, free_bytes=room.free, size_bytes=room.total))
    return tuple(found)
