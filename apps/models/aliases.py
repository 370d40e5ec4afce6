"""Aliases: names such as `production` that move between versions, and back."""

from __future__ import annotations

import re

from django.db import transaction

from apps.accounts.models import Role, User
from apps.accounts.services import require_role
from apps.audit import trail
from apps.models.errors import (
    AliasMovedMeanwhile,
    AliasNameInvalid,
    NothingToUndo,
    VersionElsewhere,
    VersionNotReady,
)
from apps.models.models import Alias, AliasMove, ModelVersion, RegisteredModel

SUGGESTED = ("production", "candidate")
_NAME = re.compile(r"[a-z0-9_-]{1,60}")


@transaction.atomic
def move_alias(
    model: RegisteredModel,
    alias: str,
    version: ModelVersion,
    user: User,
    reason: str = "",
    *,
    expected: ModelVersion | None = None,
) -> Alias:
    """Points `alias` of `model` at `version`, creating it if needed, and records the move with its reason.

    With `expected`, raises `AliasMovedMeanwhile` if the alias no longer points there. If the alias already points at
    `version`, nothing is recorded. Raises `PermissionDenied`, `AliasNameInvalid`, `VersionElsewhere`,
    `VersionNotReady`.
    """
    require_role(user, model.team, Role.ENGINEER)
    if not _NAME.fullmatch(alias):
        raise AliasNameInvalid(field="alias", name=alias)
    if version.model_id != model.pk:
        raise VersionElsewhere(field="version", version=version, model=model.name)
    if not version.ready:
        raise VersionNotReady(field="version", version=version, status=version.get_status_display().lower())
    row = _locked(model, alias)
    current = row.version if row else None
    if expected is not None and current != expected:
        raise AliasMovedMeanwhile(alias=alias, current=current or "nothing", expected=expected)
    if row is not None and current == version:
        return row
    if row is None:
        row = Alias.objects.create(model=model, name=alias, version=version)
    else:
        row.version = version
        row.save(update_fields=["version"])
    AliasMove.objects.create(alias=row, from_version=current, to_version=version, reason=reason, moved_by=user)
    _tell("alias.moved", row, current, user, reason)
    return row


@transaction.atomic
def undo_alias_move(alias: Alias, user: User) -> Alias:
    """Undoes the newest move that has not been undone. Repeated calls walk back through the history.

    Raises `PermissionDenied`, and `NothingToUndo` if only the first move is left or its previous version is deleted.
    """
    require_role(user, alias.model.team, Role.ENGINEER)
    row = _locked(alias.model, alias.name)
    if row is None:
        raise NothingToUndo(alias=alias.name)
    move = row.moves.filter(undoes=None, undone_by=None).first()
    back = move.from_version if move else None
    if move is None or back is None:
        raise NothingToUndo(alias=alias.name)
    AliasMove.objects.create(
        alias=row,
        from_version=row.version,
        to_version=back,
        reason=f"Undid the move to {move.to_version or 'a deleted version'}.",
        undoes=move,
        moved_by=user,
    )
    current, row.version = row.version, back
    row.save(update_fields=["version"])
    _tell("alias.moved_back", row, current, user)
    return row


def _tell(action: str, alias: Alias, before: ModelVersion | None, user: User, reason: str = "") -> None:
    model = alias.model
    data = {"from": before.number if before else None, "to": alias.version.number}
    trail.record(action, actor=user, team=model.team, subject=f"{model.name}: {alias.name}", reason=reason, data=data)


def _locked(model: RegisteredModel, alias: str) -> Alias | None:
    """The current alias. The model's row is locked, so that moves within one model are serialized."""
    RegisteredModel.objects.select_for_update().get(pk=model.pk)
    return Alias.objects.select_related("version__model").filter(model=model, name=alias).first()


def can_undo(alias: Alias) -> bool:
    """Whether `undo_alias_move` has a move to undo."""
    move = alias.moves.filter(undoes=None, undone_by=None).first()
    return move is not None and move.from_version_id is not None
