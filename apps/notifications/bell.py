"""What the bell shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.template.loader import render_to_string

from apps.notifications.models import BellEntry

if TYPE_CHECKING:
    from apps.accounts.models import User

MOST = 100
"""More unread entries than this are shown as “99+”, and not counted."""


def unread(user: User) -> int:
    """How many entries the user has not read, `MOST` at most."""
    return BellEntry.objects.visible_to(user).unread().order_by()[:MOST].count()


def fragment(user: User) -> str:
    """The bell as the page and every push show it."""
    return render_to_string("notifications/_bell.html", {"unread": unread(user), "most": MOST})
