"""The hours of a channel."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from apps.notifications.models import Channel
from apps.notifications.schedule import Hours
from apps.zones import UTC, zones


def hours_of(channel: Channel) -> Hours:
    """The channel's times. A zone that this machine does not know counts as UTC."""
    known = channel.time_zone if channel.time_zone in zones() else UTC
    return Hours(ZoneInfo(known), channel.digest, channel.quiet_from, channel.quiet_until)
