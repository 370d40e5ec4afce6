"""API tokens: made, revoked, and ended with what they were made for."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from apps.accounts.errors import TokenLifetimeOutOfRange, TokenOutlivesItsMaker
from apps.accounts.models import ApiToken, Membership, Team, TokenScope, User
from apps.audit import trail

MAX_TOKEN_DAYS = 365


@transaction.atomic
def create_token(
    user: User, *, name: str, scope: TokenScope, days: int, team: Team | None = None
) -> tuple[ApiToken, str]:
    """A new token of `user`, for all their teams or for `team` alone, and its text. The text is shown only once,
    because only its hash is stored.

    A token that is made with another one opens no other team, and is valid for no longer. Raises
    `TokenLifetimeOutOfRange` and `TokenOutlivesItsMaker`.
    """
    _require_days(days)
    maker = user.token
    if maker is not None:
        team = maker.team or team
        _require_shorter(maker, days)
    return add_token(user, by=user, name=name, scope=scope, days=days, team=team)


def _require_days(days: int) -> None:
    if not 1 <= days <= MAX_TOKEN_DAYS:
        raise TokenLifetimeOutOfRange(field="days", days=days, maximum=MAX_TOKEN_DAYS)


def _require_shorter(maker: ApiToken, days: int) -> None:
    left = maker.expiry - timezone.now()
    if timedelta(days=days) > left:
        raise TokenOutlivesItsMaker(field="days", days=days, name=maker.name, until=f"{maker.expiry:%-d %b %Y}")


def add_token(
    user: User, *, by: User, name: str, scope: TokenScope, days: int, team: Team | None
) -> tuple[ApiToken, str]:
    """A token that acts as `user`, made by `by`, and its text. Raises `TokenLifetimeOutOfRange`."""
    _require_days(days)
    row, text = ApiToken.objects.create(
        user=user, name=name, scope=scope, expiry=timedelta(days=days), team=team, created_by_id=by.person_id
    )
    data = {"scope": str(scope), "days": days, **_owner(row)}
    trail.record("token.created", actor=by, team=team, subject=name, data=data)
    return row, text


@transaction.atomic
def revoke_token(token: ApiToken, *, by: User) -> None:
    """Deletes the token. Whatever uses it stops working immediately."""
    token.delete()
    trail.record("token.revoked", actor=by, team=token.team, subject=token.name, data=_owner(token))


def _owner(token: ApiToken) -> dict[str, str]:
    """What the trail keeps of a token that is not its maker's own."""
    return {"service_account": str(token.user)} if token.user.is_service else {}


def end_tokens_for(member: Membership) -> None:
    """After `member` has left: ends their tokens for this team, and all of them if no team is left.

    Tokens for all teams go on for the others. They open this one no longer, because each request looks up membership.
    """
    reason = f"The member left the team {member.team.name}."
    is_last = not Membership.objects.filter(user=member.user).exists()
    member.user.end_tokens(reason, of=None if is_last else member.team)
