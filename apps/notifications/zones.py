"""The time zones that members can choose, and the hours of a channel."""

from __future__ import annotations

from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from apps.notifications.models import Channel
from apps.notifications.schedule import Hours


@cache
def zones() -> tuple[str, ...]:
    """The names of all time zones that this machine knows, UTC first."""
    names = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/")))
    return ("UTC", *names)


def hours_of(channel: Channel) -> Hours:
    """The channel's times. A zone that this machine does not know counts as UTC."""
    known = channel.time_zone if channel.time_zone in zones() else "UTC"
    return Hours(ZoneInfo(known), channel.digest, channel.quiet_from, channel.quiet_until)
