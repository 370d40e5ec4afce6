from __future__ import annotations

from typing import Any, cast

from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.accounts.audited import Audited
from apps.accounts.logins import end_login
from apps.accounts.models import ApiToken, Invitation, ListColumns, Login, Membership, SavedFilter, Team, User
from apps.accounts.services import tell_code_permission
from apps.accounts.tokens import end_tokens_for
from apps.admin import ReadOnly
from apps.audit import trail

# The one provider there may be is in the environment, and tokens of it are not kept.
for _unused in (SocialAccount, SocialApp, SocialToken):
    admin.site.unregister(_unused)


@admin.register(User)
class EmailUserAdmin(Audited, UserAdmin):
    audit_action = "user.changed"
    audit_deletion = "user.deleted"
    ordering = ("email",)
    list_display = ("email", "first_name", "last_name", "service_of", "is_active", "is_staff")
    list_filter = ("is_active", "is_staff", ("service_of", admin.EmptyFieldListFilter))
    search_fields = ("email", "first_name", "last_name")
    fieldsets = (
        (None, {"fields": ("email", "password")}),
        ("Name", {"fields": ("first_name", "last_name")}),
        ("Permissions", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("email", "usable_password", "password1", "password2")}),)


class MembershipInline(admin.TabularInline):
    model = Membership
    extra = 0
    autocomplete_fields = ("user",)


@admin.register(Team)
class TeamAdmin(Audited, admin.ModelAdmin):
    audit_action = "team.changed"
    audit_deletion = "team.deleted"
    list_display = ("name", "slug", "created_at")
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    inlines = (MembershipInline,)

    def audit_team(self, row: Team) -> Team:
        return row

    def delete_model(self, request: HttpRequest, obj: Team) -> None:
        """Its own trail goes with the team, so the event belongs to none."""
        subject = str(obj)
        admin.ModelAdmin.delete_model(self, request, obj)
        trail.record(self.audit_deletion, actor=cast(User, request.user), subject=subject)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Records who joined, left, changed role or may upload code, whoever decided it."""
        by = cast(User, request.user)
        decided = [inline for inline in formset.forms if "may_upload_code" in inline.changed_data]
        super().save_formset(request, form, formset, change)
        for member in formset.new_objects:
            self._tell(by, "member.joined", member, {"role": str(member.role)})
        for member, changed in formset.changed_objects:
            if "role" in changed:
                self._tell(by, "member.role_changed", member, {"role": str(member.role)})
        for member in formset.deleted_objects:
            end_tokens_for(member)
            self._tell(by, "member.removed", member, {})
        for inline in decided:
            if inline not in formset.deleted_forms:
                tell_code_permission(inline.instance, by=by)

    @staticmethod
    def _tell(by: User, action: str, member: Membership, data: dict[str, str]) -> None:
        trail.record(action, actor=by, team=member.team, subject=member.user.email, data=data)


@admin.register(SavedFilter)
class SavedFilterAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("name", "listing", "team", "user", "shared", "created_at")
    list_filter = ("listing", "shared", "team")
    search_fields = ("name", "user__email", "query")
    list_select_related = ("team", "user")


@admin.register(ListColumns)
class ListColumnsAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("user", "listing", "columns")
    list_filter = ("listing",)
    list_select_related = ("user",)


@admin.register(Invitation)
class InvitationAdmin(Audited, admin.ModelAdmin):
    """Invitations are sent from the team's page, where the link can be mailed. The admin only shows and
    deletes them.
    """

    audit_deletion = "invitation.withdrawn"
    list_display = ("email", "team", "role", "invited_by", "created_at", "expires_at", "accepted_at")
    list_filter = ("team", "role")
    search_fields = ("email",)
    readonly_fields = ("team", "email", "role", "invited_by", "created_at", "expires_at", "accepted_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(ApiToken)
class ApiTokenAdmin(Audited, admin.ModelAdmin):
    """Tokens can only be revoked here. Their text is shown once, to their owner."""

    audit_deletion = "token.revoked"
    list_display = ("name", "user", "team", "scope", "created", "expiry", "last_used_at", "last_address")
    list_filter = ("scope",)
    search_fields = ("name", "user__email")
    readonly_fields = (
        *("name", "user", "team", "scope", "token_key", "created_by", "created", "expiry"),
        *("last_used_at", "last_address"),
    )
    exclude = ("digest",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(Login)
class LoginAdmin(Audited, admin.ModelAdmin):
    """The browsers in which people are logged in. Deleting one logs it out."""

    audit_deletion = "login.ended"
    list_display = ("user", "device", "address", "began_at", "seen_at")
    list_select_related = ("user",)
    search_fields = ("user__email", "address", "device")
    readonly_fields = ("user", "device", "address", "began_at", "seen_at")
    exclude = ("session",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Login]:
        return Login.objects.live()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def delete_model(self, request: HttpRequest, obj: Login) -> None:
        end_login(obj, by=cast(User, request.user))
