"""The permission to upload code: granted by name, by owners and operators, and always on record."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse

from apps.accounts import services
from apps.accounts.models import Membership, Role, Team, User
from apps.audit.models import AuditEvent

pytestmark = pytest.mark.django_db


def told() -> list[tuple[str, str, str]]:
    """Action, person and subject of every act."""
    return list(AuditEvent.objects.in_order().values_list("action", "actor", "subject"))


def member_of(user: User) -> Membership:
    return Membership.objects.get(user=user)


def test_no_role_includes_it(owner: User, engineer: User, viewer: User) -> None:
    assert not any(member_of(person).may_upload_code for person in (owner, engineer, viewer))


def test_whoever_makes_a_team_has_it_no_more_than_others(stranger: User) -> None:
    assert not Membership.objects.get(team=services.create_team("Audio", stranger)).may_upload_code


def test_an_owner_gives_it_and_takes_it_back_and_both_are_told(owner: User, engineer: User) -> None:
    for allowed in (True, True, False):
        member = services.permit_code(by=owner, member=member_of(engineer), allowed=allowed)
        assert member_of(engineer).may_upload_code == member.may_upload_code == allowed
    assert told() == [
        ("member.code_permitted", owner.email, engineer.email),
        ("member.code_forbidden", owner.email, engineer.email),
    ]


def test_nobody_else_gives_it_not_even_to_themselves(engineer: User, stranger: User) -> None:
    for person in (engineer, stranger):
        with pytest.raises(PermissionDenied, match="owner"):
            services.permit_code(by=person, member=member_of(engineer), allowed=True)
    assert not member_of(engineer).may_upload_code


def test_it_goes_with_the_membership(owner: User, engineer: User, team: Team) -> None:
    services.permit_code(by=owner, member=member_of(engineer), allowed=True)
    services.remove_member(by=owner, member=member_of(engineer))
    Membership.objects.create(team=team, user=engineer, role=Role.ENGINEER)
    assert not member_of(engineer).may_upload_code


def test_an_owner_decides_on_the_page(client: Client, owner: User, engineer: User) -> None:
    client.force_login(owner)
    address = reverse("accounts:member-code", args=[member_of(engineer).pk])
    page = client.post(address, {"may_upload_code": "on"}, follow=True).content.decode()
    assert "can now upload models with code" in page
    assert member_of(engineer).may_upload_code
    page = client.post(address, {}, follow=True).content.decode()
    assert "can no longer upload models with code" in page
    assert not member_of(engineer).may_upload_code


def test_others_see_on_the_page_who_has_it_and_no_switch(client: Client, owner: User, engineer: User) -> None:
    services.permit_code(by=owner, member=member_of(owner), allowed=True)
    client.force_login(engineer)
    page = client.get(reverse("accounts:team")).content.decode()
    assert "may upload" in page
    assert 'name="may_upload_code"' not in page


def test_an_operator_decides_in_the_admin_and_it_is_told(client: Client, team: Team, engineer: User) -> None:
    operator = User.objects.create_superuser("op@example.org", "x")
    client.force_login(operator)
    member = member_of(engineer)
    answers = {
        "name": team.name,
        "slug": team.slug,
        "memberships-TOTAL_FORMS": 1,
        "memberships-INITIAL_FORMS": 1,
        "memberships-0-id": member.pk,
        "memberships-0-team": team.pk,
        "memberships-0-user": engineer.pk,
        "memberships-0-role": member.role,
    }
    address = reverse("admin:accounts_team_change", args=[team.pk])
    assert client.post(address, {**answers, "memberships-0-may_upload_code": "on"}).status_code == 302
    assert member_of(engineer).may_upload_code
    client.post(address, {**answers, "memberships-0-may_upload_code": "on", "name": "Sight"})
    client.post(address, {**answers, "memberships-0-DELETE": "on"})
    assert told() == [
        ("member.code_permitted", operator.email, engineer.email),
        ("team.changed", operator.email, "Sight"),
        ("team.changed", operator.email, team.name),
        ("member.removed", operator.email, engineer.email),
    ]


def test_the_api_says_who_has_it(client: Client, owner: User, engineer: User, team: Team) -> None:
    services.permit_code(by=owner, member=member_of(engineer), allowed=True)
    client.force_login(engineer)
    members = client.get(f"/api/v1/teams/{team.slug}/").json()["members"]
    assert {member["email"]: member["may_upload_code"] for member in members} == {
        owner.email: False,
        engineer.email: True,
    }
    assert client.get("/api/v1/me/").json()["memberships"][0]["may_upload_code"] is True
