"""The database's clock, the only one that all machines share.

Leases, backoffs and heartbeats are written and compared with it, so a machine with a wrong clock does not take work
away from others.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import connection
from django.db.models import Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Now


def after(delay: timedelta) -> Combinable:
    """The time `delay` from now (in the past if negative), for a query or an update."""
    return Now() + Value(delay)


def now() -> datetime:
    """The database's current time, by one query."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')")
            return datetime.fromisoformat(cursor.fetchone()[0]).replace(tzinfo=UTC)
        cursor.execute("SELECT CLOCK_TIMESTAMP()")
        moment: datetime = cursor.fetchone()[0]
        return moment


def skew_s() -> float:
    """How many seconds this machine's clock is ahead of the database's; half of the query's own time is taken off."""
    before, theirs, after = datetime.now(UTC), now(), datetime.now(UTC)
    return (before + (after - before) / 2 - theirs).total_seconds()
