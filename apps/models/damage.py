"""Files that the store has lost, or whose bytes were changed: named, told once, and told when healed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from django.db.models import Model
from django.db.models.functions import Now

from apps.accounts.models import Team
from apps.audit import trail
from apps.models.errors import StoreFileMissing
from apps.models.models import Blob

logger = logging.getLogger(__name__)

MOST_NAMED = 3


def found(blob: Blob, kind: type[StoreFileMissing]) -> StoreFileMissing:
    """The error to raise for `blob`. The first time, the operators are told: in the log, the audit trail, the admin."""
    error = kind(name=_name(blob))
    if Blob.objects.filter(pk=blob.pk, damaged_at=None).update(damaged_at=Now()):
        logger.error("%s %s (%s)", error.message, blob.storage_name, error.code)
        _tell("store.file_damaged", blob, error.message)
    return error


def healed(blob: Blob) -> None:
    """The bytes of `blob` are known to be right. Without effect where nothing was wrong with them."""
    if Blob.objects.filter(pk=blob.pk, damaged_at__isnull=False).update(damaged_at=None):
        logger.warning("The bytes of %s are right again.", blob.storage_name)
        _tell("store.file_healed", blob, "The store has the right bytes again.")


def _tell(action: str, blob: Blob, reason: str) -> None:
    """One event for each team that has the file, so that its members can read it too."""
    owners = {pk for rows in _users(blob) for pk in rows.values_list(rows.team_path, flat=True)}
    teams: list[Team | None] = [*Team.objects.filter(pk__in=owners).order_by("pk")]
    for team in teams or [None]:
        data = {"sha256": blob.sha256}
        trail.record(action, actor=None, team=team, subject=_name(blob), reason=reason, data=data)


def _name(blob: Blob) -> str:
    """What the file is to people: “the model version resnet v1 and the data set digits”; else its digest."""
    names = [_called(row) for rows in _users(blob) for row in rows[:MOST_NAMED]]
    return " and ".join(names[:MOST_NAMED]) or f"the file {blob}"


def _called(row: Model) -> str:
    return f"the {row._meta.verbose_name} {row}"


def _users(blob: Blob) -> Iterator[Any]:
    """The rows of any app that refer to the file, by kind."""
    for relation in Blob._meta.related_objects:
        yield relation.related_model._default_manager.filter(**{relation.field.name: blob})
