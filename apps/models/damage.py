"""Files that are missing from the store or whose bytes changed: reported once, and again when repaired."""

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
    """The error to raise for `blob`. The first time, it is reported in the log, the audit trail and the admin."""
    error = kind(name=_name(blob))
    if Blob.objects.filter(pk=blob.pk, damaged_at=None).update(damaged_at=Now()):
        logger.error("%s %s (%s)", error.message, blob.storage_name, error.code)
        _tell("store.file_damaged", blob, error.message)
    return error


def healed(blob: Blob) -> None:
    """Records that the bytes of `blob` are correct. Has no effect if nothing was wrong with them."""
    if Blob.objects.filter(pk=blob.pk, damaged_at__isnull=False).update(damaged_at=None):
        logger.warning("The bytes of %s are correct again.", blob.storage_name)
        _tell("store.file_healed", blob, "The store has the correct bytes again.")


def _tell(action: str, blob: Blob, reason: str) -> None:
    """Records one event per team that has the file, so that its members can read it too."""
    owners = {pk for rows in _users(blob) for pk in rows.values_list(rows.team_path, flat=True)}
    teams: list[Team | None] = [*Team.objects.filter(pk__in=owners).order_by("pk")]
    for team in teams or [None]:
        data = {"sha256": blob.sha256}
        trail.record(action, actor=None, team=team, subject=_name(blob), reason=reason, data=data)


def _name(blob: Blob) -> str:
    """A readable name such as “the model version resnet v1 and the data set digits”, or the digest if nothing refers to
    it.
    """
    names = [_called(row) for rows in _users(blob) for row in rows[:MOST_NAMED]]
    return " and ".join(names[:MOST_NAMED]) or f"the file {blob}"


def _called(row: Model) -> str:
    return f"the {row._meta.verbose_name} {row}"


def _users(blob: Blob) -> Iterator[Any]:
    """The rows of any app that refer to the file, by kind."""
    for relation in Blob._meta.related_objects:
        yield relation.related_model._default_manager.filter(**{relation.field.name: blob})
