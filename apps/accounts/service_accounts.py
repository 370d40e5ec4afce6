"""Service accounts: they belong to a team and not to a person, act by tokens alone, and stay when members leave.

Each is a row of `User` with a membership, so that all rules about roles and visibility hold for it too. It has no
password, gets no mail, is no owner, and approves nothing.
"""

from __future__ import annotations

from hashlib import sha256

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.text import slugify

from apps.accounts.errors import (
    ServiceAccountDisabled,
    ServiceAccountNameMissing,
    ServiceAccountNameTaken,
    ServiceAccountRole,
)
from apps.accounts.models import ApiToken, Membership, Role, Team, TokenScope, User
from apps.accounts.services import require_role
from apps.accounts.tokens import add_token
from apps.audit import trail
from apps.languages import within_a_sentence
from apps.texts import storable

LONGEST_NAME = 80
DOMAIN = "service.invalid"
"""No mail can reach an address under `.invalid` (RFC 2606)."""
ROLES = (Role.VIEWER, Role.ENGINEER)
"""Managing people is left to people."""


def service_accounts_of(team: Team) -> QuerySet[Membership]:
    """The memberships of the team's service accounts, by name."""
    rows = Membership.objects.filter(team=team, user__service_of=team)
    return rows.select_related("user", "team").order_by("user__first_name")


@transaction.atomic
def create(*, by: User, team: Team, name: str, role: Role) -> Membership:
    """A new service account of `team`. Raises `PermissionDenied` below owner, and the errors of name and role."""
    require_role(by, team, Role.OWNER)
    _check_role(role)
    clean: str = " ".join(storable(name).split())
    if not 0 < len(clean) <= LONGEST_NAME:
        raise ServiceAccountNameMissing(field="name", longest=LONGEST_NAME)
    local = slugify(clean)[:60] or sha256(clean.encode()).hexdigest()[:12]
    try:
        with transaction.atomic():
            user = User.objects.create_user(f"{local}@team-{team.pk}.{DOMAIN}", first_name=clean, service_of=team)
    except IntegrityError as clash:
        raise ServiceAccountNameTaken(field="name", name=clean, team=team.name) from clash
    member = Membership.objects.create(team=team, user=user, role=role)
    trail.record("service_account.created", actor=by, team=team, subject=clean, data={"role": str(role)})
    return member


@transaction.atomic
def change(account: Membership, *, by: User, role: Role | None = None, disabled: bool | None = None) -> Membership:
    """Changes the role of a service account, or disables or enables it. Disabling ends its tokens, for good.

    Raises `PermissionDenied` below owner, and `ServiceAccountRole`.
    """
    require_role(by, account.team, Role.OWNER)
    if role is not None and role != account.role:
        _check_role(role)
        data = {"before": account.role, "after": str(role)}
        account.role = role
        account.save(update_fields=["role"])
        _tell("service_account.role_changed", account, by, data)
    if disabled is not None and disabled == account.user.is_active:
        account.user.is_active = not disabled
        account.user.save(update_fields=["is_active"])
        _tell("service_account.disabled" if disabled else "service_account.enabled", account, by, {})
        if disabled:
            account.user.end_tokens("The service account was disabled.")
    return account


def _check_role(role: Role) -> None:
    if role not in ROLES:
        raise ServiceAccountRole(field="role", role=within_a_sentence(role.label))


def _tell(action: str, account: Membership, by: User, data: dict[str, str]) -> None:
    trail.record(action, actor=by, team=account.team, subject=str(account.user), data=data)


@transaction.atomic
def create_token(account: Membership, *, by: User, name: str, scope: TokenScope, days: int) -> tuple[ApiToken, str]:
    """A new token of a service account, and its text, which is shown only once.

    Raises `PermissionDenied` below owner, `ServiceAccountDisabled`, and `TokenLifetimeOutOfRange`.
    """
    require_role(by, account.team, Role.OWNER)
    if not account.user.is_active:
        raise ServiceAccountDisabled(name=account.user)
    return add_token(account.user, by=by, name=name, scope=scope, days=days, team=account.team)


def tokens_of(account: Membership) -> QuerySet[ApiToken]:
    """The tokens of a service account, the newest first."""
    return ApiToken.objects.filter(user=account.user).select_related("user", "team", "created_by")
