"""Notifications in the admin: operators see what goes where, and can switch channels off. No address or secret is
shown.
"""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from apps.accounts.audited import Audited
from apps.admin import ReadOnly
from apps.notifications.models import Attempt, Channel, Condition, Delivery, Notification


@admin.register(Notification)
class NotificationAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("title", "kind", "team", "created_at")
    list_filter = ("kind", "team")
    search_fields = ("title", "text")
    date_hierarchy = "created_at"


@admin.register(Channel)
class ChannelAdmin(Audited, admin.ModelAdmin):
    audit_action = "channel.changed"
    audit_deletion = "channel.removed"
    list_display = ("name", "medium", "team", "user", "enabled", "created_at")
    list_filter = ("medium", "enabled", "team")
    search_fields = ("name", "user__email", "team__name")
    fields = ("name", "medium", "team", "user", "enabled", "kinds", "digest", "created_by", "created_at")
    readonly_fields = ("name", "medium", "team", "user", "kinds", "digest", "created_by", "created_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


class AttemptInline(ReadOnly, admin.TabularInline):
    model = Attempt
    extra = 0


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("__str__", "status", "tries", "due_at", "error")
    list_filter = ("status", "channel__medium")
    date_hierarchy = "created_at"
    inlines = (AttemptInline,)


@admin.register(Condition)
class ConditionAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("name", "since")
