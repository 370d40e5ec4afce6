"""People with a place in a team."""

from __future__ import annotations

from apps.accounts.models import Membership, Role, Team, User

PASSWORD = "correct horse battery"
"""Everybody's."""


def made_person(email: str, team: Team, role: Role) -> User:
    user = User.objects.create_user(email, PASSWORD)
    Membership.objects.create(team=team, user=user, role=role)
    return user
