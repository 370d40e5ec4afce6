"""Services for teams: join, leave, change roles. Tokens are in `tokens`, service accounts in `service_accounts`."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from hashlib import sha256
from smtplib import SMTPException
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.text import slugify
from django.utils.translation import gettext as _

from apps.accounts import link_tokens
from apps.accounts.errors import (
    AlreadyMember,
    InvitationForSomebodyElse,
    InvitationNotSent,
    InvitationUnusable,
    LanguageUnknown,
    LastOwner,
    TeamNameTaken,
    TimeZoneUnknown,
)
from apps.accounts.models import (
    INVITATION_LIFETIME,
    Invitation,
    Membership,
    Role,
    Team,
    User,
)
from apps.accounts.tokens import create_token, end_tokens_for, revoke_token
from apps.audit import trail
from apps.languages import language_of, languages, within_a_sentence
from apps.zones import zone_of, zones

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet

logger = logging.getLogger(__name__)

__all__ = [
    "accept_invitation",
    "accept_open_invitations",
    "change_role",
    "choose_language",
    "choose_time_zone",
    "create_team",
    "create_token",
    "invitation_by_token",
    "invite",
    "may",
    "membership",
    "owners_of",
    "permit_code",
    "register_by_invitation",
    "remove_member",
    "require_role",
    "revoke_token",
    "tell_code_permission",
    "withdraw_invitation",
]


def membership(user: User | AnonymousUser, team: Team) -> Membership | None:
    """The membership of `user` in `team`, if there is one that counts for the request's token."""
    if not user.is_authenticated:
        return None
    return user.standing.filter(team=team).select_related("team").first()


def may(user: User | AnonymousUser, team: Team, role: Role) -> bool:
    """Whether `user` has at least `role` in `team`."""
    member = membership(user, team)
    return member is not None and member.may(role)


def require_role(user: User | AnonymousUser, team: Team, role: Role) -> Membership:
    """The membership of `user`; raises `PermissionDenied` (403) when its role in `team` is below `role`."""
    member = membership(user, team)
    if member is None or not member.may(role):
        sentence = _("This needs the role {role} in the team {team}.")
        raise PermissionDenied(sentence.format(role=within_a_sentence(role.label), team=team.name))
    return member


def require_writers(user: User, teams: Iterable[Team]) -> None:
    """Raises `PermissionDenied` unless `user` may change rows of all of `teams`."""
    for team in teams:
        require_role(user, team, Role.ENGINEER)


def owners_of(team: Team) -> QuerySet[Membership]:
    """The owners of `team`, ordered by address."""
    return team.memberships.filter(role=Role.OWNER).select_related("user")


@transaction.atomic
def create_team(name: str, owner: User) -> Team:
    """A new team with its first owner. Raises `TeamNameTaken`."""
    try:
        with transaction.atomic():
            team = Team.objects.create(name=name, slug=slugify(name) or sha256(name.encode()).hexdigest()[:12])
    except IntegrityError as clash:
        raise TeamNameTaken(field="name", name=name) from clash
    Membership.objects.create(team=team, user=owner, role=Role.OWNER)
    trail.record("team.created", actor=owner, team=team, subject=team.name)
    return team


@transaction.atomic
def invite(*, by: User, team: Team, email: str, role: Role) -> Invitation:
    """Sends a link that makes its reader a member. Replaces an open invitation for the same address.

    Raises `PermissionDenied` below owner, `AlreadyMember`, and `InvitationNotSent` if the mail server is unavailable.
    """
    require_role(by, team, Role.OWNER)
    email = email.strip().lower()
    if Membership.objects.filter(team=team, user__email=email).exists():
        raise AlreadyMember(field="email", email=email, team=team.name)
    Invitation.objects.open().filter(team=team, email=email).delete()
    token = link_tokens.new_token()
    invitation = Invitation.objects.create(
        team=team,
        email=email,
        role=role,
        token_digest=link_tokens.digest_of(token),
        invited_by=by,
        expires_at=timezone.now() + INVITATION_LIFETIME,
    )
    context = {"invitation": invitation, "link": f"{settings.LATHE.base_url}/invitations/{token}/"}
    trail.record("member.invited", actor=by, team=team, subject=email, data={"role": str(role)})
    reader = User.objects.filter(email=email).first() or by
    with timezone.override(zone_of(by)), translation.override(language_of(reader)):
        subject = _("{person} invites you to {team} on Lathe").format(person=by, team=team.name)
        text = render_to_string("accounts/email/invitation.txt", context)
    transaction.on_commit(lambda: _send(invitation, subject, text))
    return invitation


def choose_time_zone(user: User, name: str) -> None:
    """Shows the member's times in another zone from now on. Raises `TimeZoneUnknown`."""
    if name not in zones():
        raise TimeZoneUnknown(field="time_zone", zone=name)
    User.objects.filter(pk=user.pk).update(time_zone=name)
    user.time_zone = name


def choose_language(user: User, code: str) -> None:
    """Shows the member's pages and mails in another language from now on. Raises `LanguageUnknown`."""
    if code not in languages():
        raise LanguageUnknown(field="language", language=code, choices=", ".join(languages()))
    User.objects.filter(pk=user.pk).update(language=code)
    user.language = code


@transaction.atomic
def withdraw_invitation(invitation: Invitation, *, by: User) -> None:
    """Withdraws the invitation. Its link stops working."""
    require_role(by, invitation.team, Role.OWNER)
    invitation.delete()
    trail.record("invitation.withdrawn", actor=by, team=invitation.team, subject=invitation.email)


def _send(invitation: Invitation, subject: str, text: str) -> None:
    """Sends the link. Only its hash is stored, so an invitation whose mail cannot be sent is useless and is deleted."""
    try:
        send_mail(subject, text, None, [invitation.email])
    except (SMTPException, OSError) as error:
        logger.warning("The invitation for %s could not be sent.", invitation.email, exc_info=True)
        invitation.delete()
        raise InvitationNotSent(field="email", email=invitation.email) from error


def invitation_by_token(token: str) -> Invitation:
    """The open invitation behind a link. Raises `InvitationUnusable` if it was used or revoked, or has expired."""
    invitation = (
        Invitation.objects.open().filter(token_digest=link_tokens.digest_of(token)).select_related("team").first()
    )
    if invitation is None:
        raise InvitationUnusable()
    return invitation


@transaction.atomic
def accept_invitation(token: str, user: User) -> Membership:
    """Makes `user` a member. Their address must be the invited one."""
    invitation = invitation_by_token(token)
    if user.email.lower() != invitation.email:
        raise InvitationForSomebodyElse(invited=invitation.email, user=user.email)
    return _accept(invitation, user)


@transaction.atomic
def accept_open_invitations(user: User) -> list[Membership]:
    """Makes `user`, whose address is proven, a member of every team that invites it."""
    open_ = Invitation.objects.open().filter(email=user.email.lower()).select_related("team")
    return [_accept(invitation, user) for invitation in open_]


def _accept(invitation: Invitation, user: User) -> Membership:
    accepted = Invitation.objects.filter(pk=invitation.pk, accepted_at=None).update(accepted_at=timezone.now())
    if not accepted:
        raise InvitationUnusable()
    member, _created = Membership.objects.get_or_create(
        team=invitation.team, user=user, defaults={"role": invitation.role}
    )
    trail.record("member.joined", actor=user, team=invitation.team, subject=user.email, data={"role": member.role})
    return member


@transaction.atomic
def register_by_invitation(token: str, *, password: str, first_name: str = "", last_name: str = "") -> User:
    """A new account for the invited address, already a member. This is the only way in, because sign-up is closed.

    The link proves that its reader owns the address, so the address counts as verified.
    """
    invitation = invitation_by_token(token)
    user = User.objects.create_user(invitation.email, password, first_name=first_name, last_name=last_name)
    user.emailaddress_set.create(email=user.email, verified=True, primary=True)  # type: ignore[attr-defined]
    accept_invitation(token, user)
    return user


@transaction.atomic
def change_role(*, by: User, member: Membership, role: Role) -> Membership:
    """Changes the role of `member`. A team always keeps an owner."""
    require_role(by, member.team, Role.OWNER)
    if role != Role.OWNER:
        _keep_an_owner(member)
    before, member.role = member.role, role
    member.save(update_fields=["role"])
    data = {"before": before, "after": str(role)}
    trail.record("member.role_changed", actor=by, team=member.team, subject=member.user.email, data=data)
    return member


@transaction.atomic
def permit_code(*, by: User, member: Membership, allowed: bool) -> Membership:
    """Allows or forbids `member` to upload models with code. Models already uploaded stay.

    Raises `PermissionDenied` below owner. Owners can decide about themselves too, and that is recorded as well.
    """
    require_role(by, member.team, Role.OWNER)
    if member.may_upload_code != allowed:
        member.may_upload_code = allowed
        member.save(update_fields=["may_upload_code"])
        tell_code_permission(member, by=by)
    return member


def tell_code_permission(member: Membership, *, by: User) -> None:
    """Records whether `member` may upload code from now on."""
    action = "member.code_permitted" if member.may_upload_code else "member.code_forbidden"
    trail.record(action, actor=by, team=member.team, subject=member.user.email)


@transaction.atomic
def remove_member(*, by: User, member: Membership) -> None:
    """Removes a member (as an owner) or leaves the team (as anyone). A team always keeps an owner.

    The member's tokens for this team end, and all of them if it was the last team.
    """
    if by.pk != member.user_id:
        require_role(by, member.team, Role.OWNER)
    _keep_an_owner(member)
    member.delete()
    end_tokens_for(member)
    trail.record("member.removed", actor=by, team=member.team, subject=member.user.email)


def _keep_an_owner(member: Membership) -> None:
    """Raises `LastOwner` if no owner would remain. The rows are locked, so two owners cannot leave at the same time."""
    owners = list(
        Membership.objects.select_for_update().filter(team=member.team, role=Role.OWNER).values_list("pk", flat=True)
    )
    if owners == [member.pk]:
        raise LastOwner(team=member.team.name)
