"""Lasting troubles, each told once until it ends."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction

from apps.notifications.models import Condition


@transaction.atomic
def watch(name: str, holds: bool, tell: Callable[[], object]) -> bool:
    """Calls `tell` when the trouble `name` begins, in one transaction with the note that it was told. Returns whether
    it was called.
    """
    if not holds:
        Condition.objects.filter(name=name).delete()
        return False
    _, begins = Condition.objects.get_or_create(name=name)
    if begins:
        tell()
    return begins
