"""Time zones: what members can choose, and whose time a page or a message shows."""

from __future__ import annotations

from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

UTC = "UTC"
COOKIE = "time_zone"
"""Where `static/js/page.js` says which zone the browser is in."""


@cache
def zones() -> tuple[str, ...]:
    """The names of all time zones that this machine knows, UTC first."""
    names = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/")))
    return (UTC, *names)


def zone_of(user: Any) -> ZoneInfo:
    """The time zone of a member; UTC if none is known yet, and for visitors."""
    name = getattr(user, "time_zone", "")
    return ZoneInfo(name if name in zones() else UTC)
