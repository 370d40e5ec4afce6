"""Teams, roles and invitations, as members use them."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core import mail
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts import services
from apps.accounts.errors import (
    AlreadyMember,
    InvitationForSomebodyElse,
    InvitationNotSent,
    InvitationUnusable,
    LastOwner,
    NoTeam,
    TeamAmbiguous,
    TeamNameTaken,
    TeamUnknown,
)
from apps.accounts.models import Invitation, Membership, Role, Team, User
from apps.accounts.teams import team_for

pytestmark = pytest.mark.django_db


def link_in_last_mail() -> str:
    found = re.search(r"https?://\S+/invitations/\S+/", mail.outbox[-1].body)
    assert found, mail.outbox[-1].body
    return urlsplit(found[0]).path


@pytest.fixture
def invitation_link(owner: User, team: Team, django_capture_on_commit_callbacks) -> str:
    with django_capture_on_commit_callbacks(execute=True):
        services.invite(by=owner, team=team, email="Nina@Example.org", role=Role.ENGINEER)
    return link_in_last_mail()


def test_roles_include_the_ones_before_them() -> None:
    assert Role.OWNER.includes(Role.VIEWER)
    assert Role.ENGINEER.includes(Role.ENGINEER)
    assert not Role.VIEWER.includes(Role.ENGINEER)


def test_a_role_below_the_needed_one_is_refused(viewer: User, team: Team) -> None:
    with pytest.raises(PermissionDenied, match="engineer"):
        services.require_role(viewer, team, Role.ENGINEER)


def test_a_stranger_and_an_anonymous_visitor_have_no_role(stranger: User, team: Team) -> None:
    assert not services.may(stranger, team, Role.VIEWER)
    assert not services.may(AnonymousUser(), team, Role.VIEWER)


def test_two_teams_cannot_share_a_name(owner: User, team: Team) -> None:
    with pytest.raises(TeamNameTaken, match="Vision"):
        services.create_team("Vision", owner)


def test_a_team_named_in_another_script_still_gets_an_address(owner: User) -> None:
    assert services.create_team("視覚", owner).slug


def test_only_owners_invite(engineer: User, team: Team) -> None:
    with pytest.raises(PermissionDenied):
        services.invite(by=engineer, team=team, email="nina@example.org", role=Role.VIEWER)


def test_a_member_is_not_invited_again(owner: User, viewer: User, team: Team) -> None:
    with pytest.raises(AlreadyMember):
        services.invite(by=owner, team=team, email=viewer.email.upper(), role=Role.VIEWER)


def test_a_second_invitation_replaces_the_first(owner: User, team: Team) -> None:
    for role in (Role.VIEWER, Role.ENGINEER):
        services.invite(by=owner, team=team, email="nina@example.org", role=role)
    assert [invitation.role for invitation in Invitation.objects.all()] == [Role.ENGINEER]


def test_only_the_hash_of_an_invitations_token_is_kept(invitation_link: str) -> None:
    token = invitation_link.rstrip("/").rsplit("/", 1)[-1]
    assert token not in str(Invitation.objects.values().get())


def test_a_newcomer_makes_an_account_through_the_link_and_is_logged_in(
    client: Client, invitation_link: str, team: Team
) -> None:
    page = client.get(invitation_link)
    assert b"nina@example.org" in page.content
    answers = {"first_name": "Nina", "password": "a long enough one", "password_again": "a long enough one"}
    response = client.post(invitation_link, answers)
    assert response.status_code == 302
    nina = User.objects.get(email="nina@example.org")
    assert services.may(nina, team, Role.ENGINEER)
    assert int(client.session["_auth_user_id"]) == nina.pk
    assert client.get(invitation_link).status_code == 404, "a link works once"


def test_two_different_passwords_are_told_at_the_field(client: Client, invitation_link: str) -> None:
    response = client.post(invitation_link, {"password": "a long enough one", "password_again": "another one"})
    assert response.status_code == 422
    assert b"The two passwords differ" in response.content
    assert not User.objects.filter(email="nina@example.org").exists()


def test_somebody_with_an_account_joins_with_one_click(
    client: Client, invitation_link: str, other_team: Team, team: Team
) -> None:
    nina = User.objects.create_user("nina@example.org", "correct horse battery")
    assert client.get(invitation_link).url.startswith(reverse("account_login"))
    client.force_login(nina)
    assert client.post(invitation_link).status_code == 302
    assert services.may(nina, team, Role.ENGINEER)


def test_an_invitation_is_for_the_address_it_was_sent_to(client: Client, invitation_link: str, stranger: User) -> None:
    client.force_login(stranger)
    response = client.post(invitation_link)
    assert response.status_code == 403
    assert InvitationForSomebodyElse.sentence.format(invited="nina@example.org", user=stranger.email) in str(
        response.content.decode()
    )
    assert not Membership.objects.filter(user=stranger, team__slug="vision").exists()


def test_an_expired_invitation_does_not_work(invitation_link: str) -> None:
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(InvitationUnusable):
        services.invitation_by_token(invitation_link.rstrip("/").rsplit("/", 1)[-1])


def test_a_team_keeps_an_owner(owner: User, team: Team) -> None:
    member = Membership.objects.get(user=owner)
    with pytest.raises(LastOwner):
        services.change_role(by=owner, member=member, role=Role.VIEWER)
    with pytest.raises(LastOwner):
        services.remove_member(by=owner, member=member)


def test_an_owner_can_go_when_there_is_another(owner: User, engineer: User) -> None:
    services.change_role(by=owner, member=Membership.objects.get(user=engineer), role=Role.OWNER)
    services.remove_member(by=owner, member=Membership.objects.get(user=owner))
    assert not Membership.objects.filter(user=owner).exists()


def test_anybody_may_leave_but_not_remove_others(viewer: User, engineer: User) -> None:
    with pytest.raises(PermissionDenied):
        services.remove_member(by=viewer, member=Membership.objects.get(user=engineer))
    services.remove_member(by=viewer, member=Membership.objects.get(user=viewer))
    assert not Membership.objects.filter(user=viewer).exists()


def test_an_owner_changes_a_role_on_the_page(client: Client, owner: User, viewer: User) -> None:
    client.force_login(owner)
    member = Membership.objects.get(user=viewer)
    client.post(reverse("accounts:member-role", args=[member.pk]), {"role": "engineer"})
    member.refresh_from_db()
    assert member.role == Role.ENGINEER


def test_a_withdrawn_invitation_is_gone(client: Client, owner: User, invitation_link: str) -> None:
    client.force_login(owner)
    client.post(reverse("accounts:invitation-withdraw", args=[Invitation.objects.get().pk]))
    assert client.get(invitation_link).status_code == 404


def test_an_invitation_is_sent_from_the_page(client: Client, owner: User, django_capture_on_commit_callbacks) -> None:
    client.force_login(owner)
    with django_capture_on_commit_callbacks(execute=True):
        client.post(reverse("accounts:invite"), {"email": "new@example.org", "role": "viewer"})
    assert mail.outbox[-1].to == ["new@example.org"]
    assert "Vision" in mail.outbox[-1].subject


def test_an_invitation_that_cannot_be_mailed_leaves_nothing_behind(
    client: Client, owner: User, settings, transactional_db: None
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    client.force_login(owner)
    response = client.post(reverse("accounts:invite"), {"email": "new@example.org", "role": "viewer"})
    assert response.status_code == InvitationNotSent.status
    assert "could not be sent" in response.content.decode()
    assert not Invitation.objects.exists()


def test_a_wrong_address_is_told_at_the_field(client: Client, owner: User) -> None:
    client.force_login(owner)
    response = client.post(reverse("accounts:invite"), {"email": "nobody", "role": "viewer"})
    assert response.status_code == 422
    assert b"id_email_error" in response.content


def test_a_member_of_two_teams_switches_between_them(client: Client, owner: User, other_team: Team) -> None:
    Membership.objects.create(team=other_team, user=owner, role=Role.VIEWER)
    client.force_login(owner)
    client.post(reverse("accounts:team-switch"), {"team": "vision"})
    assert "Vision" in client.get(reverse("accounts:team")).content.decode().split("<h1>")[1][:40]


def test_a_team_one_is_not_in_cannot_be_switched_to(client: Client, owner: User, other_team: Team) -> None:
    client.force_login(owner)
    assert client.post(reverse("accounts:team-switch"), {"team": other_team.slug}).status_code == 404


def test_the_only_team_need_not_be_named(engineer: User, team: Team) -> None:
    assert team_for(engineer, None) == team


def test_one_of_several_teams_must_be_named(engineer: User, team: Team, other_team: Team) -> None:
    Membership.objects.create(team=other_team, user=engineer)
    with pytest.raises(TeamAmbiguous, match="speech, vision"):
        team_for(engineer, None)
    assert team_for(engineer, "speech") == other_team


def test_an_unknown_team_is_told_with_ones_own(engineer: User, other_team: Team) -> None:
    with pytest.raises(TeamUnknown, match="vision"):
        team_for(engineer, other_team.slug)


def test_without_a_team_there_is_nothing_to_speak_for(db: None) -> None:
    with pytest.raises(NoTeam):
        team_for(User.objects.create_user("lone@example.org"), None)
