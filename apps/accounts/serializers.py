from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.accounts.models import ApiToken, Invitation, Login, Membership, Role, Team, TokenScope, User
from apps.accounts.service_accounts import ROLES
from apps.accounts.tokens import MAX_TOKEN_DAYS

SERVICE_ROLES = [(role.value, role.label) for role in ROLES]


class MemberSerializer(serializers.ModelSerializer[Membership]):
    email = serializers.EmailField(source="user.email", read_only=True)
    name = serializers.CharField(source="user.get_full_name", read_only=True)

    class Meta:
        model = Membership
        fields = ("id", "email", "name", "role", "may_upload_code", "joined_at")
        read_only_fields = fields


class TeamMemberSerializer(MemberSerializer):
    """A member with their team."""

    team: serializers.SlugRelatedField[Team] = serializers.SlugRelatedField(slug_field="slug", read_only=True)

    class Meta:
        model = Membership
        fields = ("team", *MemberSerializer.Meta.fields)
        read_only_fields = fields


class MemberChangeSerializer(serializers.Serializer[dict[str, Any]]):
    role = serializers.ChoiceField(choices=Role.choices, required=False)
    may_upload_code = serializers.BooleanField(required=False)


class InvitationSerializer(serializers.ModelSerializer[Invitation]):
    """An open invitation. Its link is in the mail alone."""

    team: serializers.SlugRelatedField[Team] = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    invited_by = serializers.EmailField(source="invited_by.email", default=None, allow_null=True, read_only=True)

    class Meta:
        model = Invitation
        fields = ("id", "team", "email", "role", "invited_by", "created_at", "expires_at")
        read_only_fields = fields


class TeamChoice(serializers.Serializer[Any]):
    team = serializers.SlugField(required=False, help_text="The team's slug. Optional for members of a single team.")


class NewInvitationSerializer(TeamChoice):
    email = serializers.EmailField()
    role = serializers.ChoiceField(choices=Role.choices, default=Role.ENGINEER)


class ServiceAccountSerializer(serializers.ModelSerializer[Membership]):
    """A service account. `email` is its name in other rows, such as `created_by`; no mail reaches it."""

    team: serializers.SlugRelatedField[Team] = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    name = serializers.CharField(source="user.first_name", read_only=True)
    email = serializers.EmailField(source="user.email", read_only=True)
    disabled = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField(source="joined_at", read_only=True)

    class Meta:
        model = Membership
        fields = ("id", "team", "name", "email", "role", "disabled", "created_at")
        read_only_fields = fields

    def get_disabled(self, account: Membership) -> bool:
        return not account.user.is_active


class NewServiceAccountSerializer(TeamChoice):
    name = serializers.CharField(max_length=80)
    role = serializers.ChoiceField(choices=SERVICE_ROLES, default=Role.ENGINEER)


class ServiceAccountChangeSerializer(serializers.Serializer[dict[str, Any]]):
    role = serializers.ChoiceField(choices=SERVICE_ROLES, required=False)
    disabled = serializers.BooleanField(required=False, help_text="Disabling ends its tokens, for good.")


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    """A token without its text. `key` is how the text begins; `team` is null for a token that opens all your teams."""

    key = serializers.CharField(source="token_key", read_only=True)
    team: serializers.SlugRelatedField[Team] = serializers.SlugRelatedField(
        slug_field="slug", read_only=True, allow_null=True
    )
    created_by = serializers.EmailField(source="created_by.email", default=None, allow_null=True, read_only=True)
    created_at = serializers.DateTimeField(source="created", read_only=True)
    expires_at = serializers.DateTimeField(source="expiry", read_only=True)

    class Meta:
        model = ApiToken
        fields = (
            *("key", "name", "scope", "team", "created_by", "created_at", "expires_at"),
            *("last_used_at", "last_address"),
        )
        read_only_fields = fields


class CreatedTokenSerializer(TokenSerializer):
    """A new token with its text, which is shown only this once."""

    text = serializers.SerializerMethodField()

    class Meta:
        model = ApiToken
        fields = (*TokenSerializer.Meta.fields, "text")
        read_only_fields = fields

    def get_text(self, token: ApiToken) -> str:
        return str(self.context["text"])


class NewServiceTokenSerializer(serializers.Serializer[dict[str, Any]]):
    name = serializers.CharField(max_length=80)
    scope = serializers.ChoiceField(choices=TokenScope.choices, default=TokenScope.READ)
    days = serializers.IntegerField(default=90, help_text=f"How long it is valid: at most {MAX_TOKEN_DAYS}.")


class NewTokenSerializer(NewServiceTokenSerializer):
    team = serializers.SlugField(
        max_length=80, required=False, help_text="The slug of the only team that it opens. Without it: all your teams."
    )


class LoginSerializer(serializers.ModelSerializer[Login]):
    """A browser in which you are logged in."""

    class Meta:
        model = Login
        fields = ("id", "device", "address", "began_at", "seen_at")
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

    memberships = OwnMembershipSerializer(source="standing", many=True, read_only=True)

    class Meta:
        model = User
        fields = ("email", "first_name", "last_name", "time_zone", "language", "memberships")
        read_only_fields = fields


class MeChangeSerializer(serializers.Serializer[dict[str, str]]):
    """What an account may change of itself."""

    time_zone = serializers.CharField(
        max_length=60, required=False, help_text="Such as Europe/Berlin: pages and mails show times in it."
    )
    language = serializers.CharField(
        max_length=10, required=False, help_text="Such as de: pages and mails are in it. The API stays English."
    )
