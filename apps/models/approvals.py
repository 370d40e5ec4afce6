"""Moves of protected aliases: one member asks, another approves. Neither alone can move such an alias.

Only people decide, and nobody about what they have asked for themselves, whether as a member or through a service
account whose token they made. Every step is in the audit trail, with who, when and why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils.translation import gettext as _

from apps.accounts.models import Membership, Role, User
from apps.accounts.services import membership, require_role
from apps.audit import trail
from apps.languages import in_english
from apps.models.aliases import carry_out, locked, move_alias, outdate, require_ready, to_move, to_undo, undo_alias_move
from apps.models.errors import (
    NothingToUndo,
    OwnRequest,
    PeopleDecide,
    ReasonMissing,
    RequestOutdated,
    RequestSettled,
)
from apps.models.models import Alias, AliasMove, AliasRequest, ModelVersion, RegisteredModel, RequestStatus
from apps.texts import storable

if TYPE_CHECKING:
    from uuid import UUID

LONGEST_REASON = 500
Follower = Callable[[AliasRequest, User], None]
_followers: list[Follower] = []


def connect(follower: Follower) -> None:
    """Calls `follower` with each request that is approved and its approver, in the transaction that moves the alias.
    `request.from_version` is where the alias pointed before.
    """
    if follower not in _followers:
        _followers.append(follower)


@transaction.atomic
def protect(alias: Alias, user: User, *, protected: bool) -> Alias:
    """From now on, moves of the alias need approval, or no longer do. Raises `PermissionDenied` below owner."""
    require_role(user, alias.model.team, Role.OWNER)
    row = locked(alias.model, alias.name)
    if row is None or row.protected == protected:
        return row or alias
    row.protected = protected
    row.save(update_fields=["protected"])
    action = "alias.protected" if protected else "alias.unprotected"
    trail.record(action, actor=user, team=row.model.team, subject=f"{row.model.name}: {row.name}")
    if not protected:
        outdate(row.requests.pending(), f"{row.name} is no longer protected.", user)
    return row


# --- asking ----------------------------------------------------------------------------------------------------------


@transaction.atomic
def move_or_ask(
    model: RegisteredModel,
    alias: str,
    version: ModelVersion,
    user: User,
    reason: str = "",
    *,
    expected: ModelVersion | None = None,
    session: UUID | None = None,
) -> Alias | AliasRequest:
    """Moves the alias, or, if it is protected, asks for approval of the move. Asking again for a move that waits
    returns the request there is. Raises as `move_alias`.
    """
    require_role(user, model.team, Role.ENGINEER)
    row = to_move(model, alias, version, expected)
    if row is None or not row.protected or row.version == version:
        return move_alias(model, alias, version, user, reason, expected=expected)
    return _ask(row, version, user, reason, session)


@transaction.atomic
def undo_or_ask(alias: Alias, user: User, reason: str = "", *, session: UUID | None = None) -> Alias | AliasRequest:
    """Moves the alias back, or, if it is protected, asks for approval of that. Raises as `undo_alias_move`."""
    require_role(user, alias.model.team, Role.ENGINEER)
    row, move = to_undo(alias)
    if not row.protected:
        return undo_alias_move(alias, user)
    assert move.to_version is not None
    return _ask(row, move.to_version, user, reason, session, rolls_back=True)


def _ask(
    alias: Alias, version: ModelVersion, user: User, reason: str, session: UUID | None, *, rolls_back: bool = False
) -> AliasRequest:
    waiting = alias.requests.pending().filter(to_version=version, rolls_back=rolls_back).first()
    if waiting is not None:
        return waiting
    request = AliasRequest.objects.create(
        alias=alias,
        from_version=alias.version,
        to_version=version,
        from_number=alias.version.number,
        to_number=version.number,
        rolls_back=rolls_back,
        session=session,
        reason=storable(reason.strip()),
        asked_by=user,
        person_id=user.person_id,
    )
    request.record("alias.approval_asked", user, request.reason)
    return request


# --- deciding --------------------------------------------------------------------------------------------------------


def approve(request: AliasRequest, user: User, reason: str) -> Alias:
    """Carries the request out. Of two approvals at the same time, one does.

    Raises `PermissionDenied`, `PeopleDecide`, `OwnRequest`, `ReasonMissing`, `RequestSettled`, `VersionNotReady`, and
    `RequestOutdated` if the alias or the version is no longer what it was.
    """
    with transaction.atomic():
        alias, row = _to_decide(request, user)
        with in_english():
            why = _why_outdated(row, alias)
        if why:
            row.record_decision(RequestStatus.STALE, "alias.request_stale", user, why)
        else:
            _carry_out(row, alias, user, _reason(reason))
    if why:
        raise RequestOutdated(why=why[0].lower() + why[1:])
    return alias


def _carry_out(row: AliasRequest, alias: Alias, user: User, reason: str) -> None:
    assert row.to_version is not None
    require_ready(row.to_version)
    if row.rolls_back:
        _, move = to_undo(alias)
    else:
        move = AliasMove(to_version=row.to_version, reason=row.reason)
    move.moved_by, move.approved_by = row.asked_by, user
    row.record_decision(RequestStatus.APPROVED, "alias.request_approved", user, reason)
    carry_out(alias, move, by=user)
    for follower in _followers:
        follower(row, user)


@transaction.atomic
def reject(request: AliasRequest, user: User, reason: str) -> AliasRequest:
    """Settles the request without a move. Raises as `approve`."""
    _, row = _to_decide(request, user)
    row.record_decision(RequestStatus.REJECTED, "alias.request_rejected", user, _reason(reason))
    return row


@transaction.atomic
def withdraw(request: AliasRequest, user: User) -> AliasRequest:
    """Takes the request back, as the one who asked or as an owner. Raises `PermissionDenied` and `RequestSettled`."""
    if not may_withdraw(request, user):
        raise PermissionDenied(_("Only who has asked can withdraw this request, or an owner of the team."))
    row = _pending(request)[1]
    row.record_decision(RequestStatus.WITHDRAWN, "alias.request_withdrawn", user, "")
    return row


def may_decide(request: AliasRequest, user: User, member: Membership | None = None) -> bool:
    """Whether `approve` and `reject` are open to `user`, whose place in the team is `member` if it is at hand."""
    if not request.pending or user.is_service or user.pk in (request.asked_by_id, request.person_id):
        return False
    return _has_role(request, user, Role.ENGINEER, member)


def may_withdraw(request: AliasRequest, user: User, member: Membership | None = None) -> bool:
    """Whether `withdraw` is open to `user`, whose place in the team is `member` if it is at hand."""
    role = Role.ENGINEER if user.pk == request.asked_by_id else Role.OWNER
    return _has_role(request, user, role, member)


def _has_role(request: AliasRequest, user: User, role: Role, member: Membership | None) -> bool:
    found = member or membership(user, request.alias.model.team)
    return found is not None and found.may(role)


def _to_decide(request: AliasRequest, user: User) -> tuple[Alias, AliasRequest]:
    """The locked alias and the request, about which `user` may decide."""
    require_role(user, request.alias.model.team, Role.ENGINEER)
    if user.is_service:
        raise PeopleDecide
    if user.pk in (request.asked_by_id, request.person_id):
        raise OwnRequest
    return _pending(request)


def _pending(request: AliasRequest) -> tuple[Alias, AliasRequest]:
    alias = locked(request.alias.model, request.alias.name)
    rows = AliasRequest.objects.select_related("alias__model__team", "from_version", "to_version__model", "asked_by")
    row = rows.get(pk=request.pk)
    if alias is None or not row.pending:
        raise RequestSettled(status=row.get_status_display().lower())
    return alias, row


def _why_outdated(request: AliasRequest, alias: Alias) -> str:
    if request.to_version is None:
        return f"Version {request.to_number} was deleted."
    if request.from_version_id != alias.version_id:
        return f"{alias.name} no longer points at version {request.from_number}."
    if request.rolls_back:
        try:
            _, move = to_undo(alias)
        except NothingToUndo as error:
            return error.message
        if move.to_version != request.to_version:
            return f"{alias.name} would no longer go back to version {request.to_number}."
    return ""


def _reason(text: str) -> str:
    reason: str = storable(text.strip())
    if not 0 < len(reason) <= LONGEST_REASON:
        raise ReasonMissing(field="reason", longest=LONGEST_REASON)
    return reason


def outdate_of(versions: list[ModelVersion], user: User, why: str) -> None:
    """Settles the pending requests that lead to one of `versions`, which are about to be deleted."""
    outdate(AliasRequest.objects.pending().filter(to_version__in=versions), why, user)
