"""Filters of the lists of people and of what acts for them."""

from __future__ import annotations

from django_filters import rest_framework as filters

from apps.accounts.models import ApiToken, Invitation, Membership, Role, TokenScope


class MemberFilter(filters.FilterSet):
    team = filters.CharFilter(field_name="team__slug", help_text="A team's slug.")
    email = filters.CharFilter(field_name="user__email", help_text="A member's address.")
    role = filters.ChoiceFilter(choices=Role.choices)

    class Meta:
        model = Membership
        fields = ()


class InvitationFilter(filters.FilterSet):
    team = filters.CharFilter(field_name="team__slug", help_text="A team's slug.")

    class Meta:
        model = Invitation
        fields = ("email",)


class ServiceAccountFilter(filters.FilterSet):
    team = filters.CharFilter(field_name="team__slug", help_text="A team's slug.")
    name = filters.CharFilter(field_name="user__first_name", help_text="A service account's name.")

    class Meta:
        model = Membership
        fields = ()


class TokenFilter(filters.FilterSet):
    team = filters.CharFilter(field_name="team__slug", help_text="A team's slug.")
    scope = filters.ChoiceFilter(choices=TokenScope.choices)

    class Meta:
        model = ApiToken
        fields = ("name",)
