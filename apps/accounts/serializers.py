from __future__ import annotations

from rest_framework import serializers

from apps.accounts.models import Membership, Team, User


class MemberSerializer(serializers.ModelSerializer[Membership]):
    email = serializers.EmailField(source="user.email", read_only=True)
    name = serializers.CharField(source="user.get_full_name", read_only=True)

    class Meta:
        model = Membership
        fields = ("email", "name", "role", "may_upload_code", "joined_at")
        read_only_fields = fields


class TeamSerializer(serializers.ModelSerializer[Team]):
    members = MemberSerializer(source="memberships", many=True, read_only=True)

    class Meta:
        model = Team
        fields = ("name", "slug", "created_at", "members")
        read_only_fields = fields


class OwnMembershipSerializer(serializers.ModelSerializer[Membership]):
    team: serializers.SlugRelatedField[Team] = serializers.SlugRelatedField(slug_field="slug", read_only=True)

    class Meta:
        model = Membership
        fields = ("team", "role", "may_upload_code")
        read_only_fields = fields


class MeSerializer(serializers.ModelSerializer[User]):
    """The user that a token acts for."""

    memberships = OwnMembershipSerializer(many=True, read_only=True)

    class Meta:
        model = User
        fields = ("email", "first_name", "last_name", "time_zone", "memberships")
        read_only_fields = fields


class TimeZoneSerializer(serializers.Serializer[dict[str, str]]):
    """What an account may change of itself."""

    time_zone = serializers.CharField(
        max_length=60, help_text="Such as Europe/Berlin: pages and mails show times in it."
    )
