"""Lasting troubles, each told once until it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from django.db import transaction

from apps.notifications.models import Condition


@transaction.atomic
def watch(name: str, holds: bool, tell: Callable[[], object]) -> bool:
    """Calls `tell` when the trouble `name` begins, in one transaction with the note that it was told. Returns whether
    it was called.
    """
    if not holds:
        end([name])
        return False
    _, begins = Condition.objects.get_or_create(name=name)
    if begins:
        tell()
    return begins


def watched(beginning: str) -> list[str]:
    """The names of the troubles that were told and last, of those that begin so."""
    return list(Condition.objects.filter(name__startswith=beginning).values_list("name", flat=True))


def end(names: Iterable[str]) -> None:
    """These troubles last no more."""
    Condition.objects.filter(name__in=list(names)).delete()
