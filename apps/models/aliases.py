"""Aliases: names such as `production` that move between versions, and back.

A protected alias moves only as `apps.models.approvals` says.
"""

from __future__ import annotations

import re

from django.db import transaction

from apps.accounts.models import Role, User
from apps.accounts.services import require_role
from apps.audit import trail
from apps.models.errors import (
    AliasMovedMeanwhile,
    AliasNameInvalid,
    ApprovalNeeded,
    NothingToUndo,
    VersionElsewhere,
    VersionNotReady,
)
from apps.models.models import Alias, AliasMove, AliasRequest, ModelVersion, RegisteredModel, RequestStatus
from apps.models.querysets import AliasRequestQuerySet

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
    `VersionNotReady`, and `ApprovalNeeded` for a protected alias.
    """
    require_role(user, model.team, Role.ENGINEER)
    row = to_move(model, alias, version, expected)
    if row is None:
        row = Alias.objects.create(model=model, name=alias, version=version)
        move = AliasMove.objects.create(alias=row, to_version=version, reason=reason, moved_by=user)
        _record("alias.moved", move, user, reason)
    elif row.version != version:
        if row.protected:
            raise ApprovalNeeded(alias=alias)
        carry_out(row, AliasMove(to_version=version, reason=reason, moved_by=user), by=user)
    return row


@transaction.atomic
def undo_alias_move(alias: Alias, user: User) -> Alias:
    """Undoes the newest move that has not been undone. Repeated calls walk back through the history.

    Raises `PermissionDenied`, `NothingToUndo` if only the first move is left or its previous version is deleted, and
    `ApprovalNeeded` for a protected alias.
    """
    require_role(user, alias.model.team, Role.ENGINEER)
    row, move = to_undo(alias)
    if row.protected:
        raise ApprovalNeeded(alias=alias.name)
    move.moved_by = user
    carry_out(row, move, by=user)
    return row


def to_move(model: RegisteredModel, alias: str, version: ModelVersion, expected: ModelVersion | None) -> Alias | None:
    """The locked alias that is to point at `version`; `None` if it does not exist. Raises as `move_alias`."""
    if not _NAME.fullmatch(alias):
        raise AliasNameInvalid(field="alias", name=alias)
    if version.model_id != model.pk:
        raise VersionElsewhere(field="version", version=version, model=model.name)
    require_ready(version)
    row = locked(model, alias)
    current = row.version if row else None
    if expected is not None and current != expected:
        raise AliasMovedMeanwhile(alias=alias, current=current or "nothing", expected=expected)
    return row


def to_undo(alias: Alias) -> tuple[Alias, AliasMove]:
    """The locked alias, and the unsaved move that undoes its newest one. Raises `NothingToUndo`."""
    row = locked(alias.model, alias.name)
    move = _last_move(row) if row else None
    if row is None or move is None or move.from_version is None:
        raise NothingToUndo(alias=alias.name)
    reason = f"Undid the move to {move.to_version or 'a deleted version'}."
    return row, AliasMove(to_version=move.from_version, reason=reason, undoes=move)


def require_ready(version: ModelVersion) -> None:
    """Raises `VersionNotReady` for a version that no alias may point at yet, or ever."""
    if not version.ready:
        raise VersionNotReady(field="version", version=version, status=version.get_status_display().lower())


def carry_out(row: Alias, move: AliasMove, *, by: User) -> None:
    """Moves the locked alias on behalf of `by`. All other requests for its moves are out of date from now on."""
    assert move.to_version is not None
    move.alias, move.from_version = row, row.version
    move.save()
    row.version = move.to_version
    row.save(update_fields=["version"])
    if move.undoes:
        _record("alias.moved_back", move, by)
    else:
        _record("alias.moved", move, by, move.reason)
    outdate(row.requests.pending(), f"{row.name} was moved to v{row.version.number} meanwhile.", by)


def outdate(requests: AliasRequestQuerySet[AliasRequest], why: str, by: User) -> None:
    """Settles pending requests that can no longer be carried out."""
    for request in requests.select_related("alias__model__team", "asked_by"):
        request.record_decision(RequestStatus.STALE, "alias.request_stale", by, why)


def _record(action: str, move: AliasMove, user: User, reason: str = "") -> None:
    model, before, after = move.alias.model, move.from_version, move.to_version
    data: dict[str, object] = {"model": model.pk, "alias": move.alias.name}
    data |= {"from": before.number if before else None, "to": after.number if after else None}
    if move.approved_by is not None:
        data["asked_by"] = move.moved_by.email if move.moved_by else None
    subject = f"{model.name}: {move.alias.name}"
    trail.record(action, actor=user, team=model.team, subject=subject, reason=reason, data=data)


def locked(model: RegisteredModel, alias: str) -> Alias | None:
    """The current alias. The model's row is locked, so that moves within one model are serialized."""
    RegisteredModel.objects.select_for_update().get(pk=model.pk)
    return Alias.objects.select_related("version__model").filter(model=model, name=alias).first()


def _last_move(alias: Alias) -> AliasMove | None:
    """The newest move that has not been undone."""
    return alias.moves.filter(undoes=None, undone_by=None).first()


def can_undo(alias: Alias) -> bool:
    """Whether `undo_alias_move` has a move to undo."""
    move = _last_move(alias)
    return move is not None and move.from_version_id is not None
