"""When a message goes out: at once, after the channel's quiet hours, or with its digest. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from apps.notifications.models import Digest

MORNING = time(8)
"""When daily digests go out, by the channel's clock."""


@dataclass(frozen=True)
class Hours:
    """The times of one channel, by its own clock. Both ends are given, or neither."""

    zone: ZoneInfo
    digest: str = Digest.NONE
    quiet_from: time | None = None
    quiet_until: time | None = None

    def due(self, now: datetime) -> tuple[datetime, bool]:
        """When a message that arises `now` is due, and whether it is held back until then."""
        at = self._of_digest(now)
        return (quiet, True) if (quiet := self._quiet_end(at)) else (at, self.digest != Digest.NONE)

    def _of_digest(self, now: datetime) -> datetime:
        here = now.astimezone(self.zone)
        if self.digest == Digest.HOURLY:
            return (now + timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
        if self.digest == Digest.DAILY:
            morning = datetime.combine(here.date(), MORNING, self.zone)
            return morning if morning > now else datetime.combine(here.date() + timedelta(days=1), MORNING, self.zone)
        return now

    def _quiet_end(self, at: datetime) -> datetime | None:
        """When the quiet hours end that `at` falls into; `None` if it falls into none."""
        if self.quiet_from is None or self.quiet_until is None or self.quiet_from == self.quiet_until:
            return None
        here = at.astimezone(self.zone)
        clock, over_midnight = here.time(), self.quiet_from > self.quiet_until
        if over_midnight:
            quiet = clock >= self.quiet_from or clock < self.quiet_until
        else:
            quiet = self.quiet_from <= clock < self.quiet_until
        if not quiet:
            return None
        day = here.date() + timedelta(days=1 if over_midnight and clock >= self.quiet_from else 0)
        return datetime.combine(day, self.quiet_until, self.zone)
