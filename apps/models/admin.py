"""The store in the admin: its contents and its limits. Files and versions are read-only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from apps.accounts.audited import Audited
from apps.admin import ReadOnly
from apps.models.models import (
    Alias,
    AliasMove,
    Blob,
    DataSet,
    EditedCard,
    ModelMetadata,
    ModelVersion,
    RegisteredModel,
    StoreQuota,
    StoreSettings,
    Upload,
)


class VersionInline(ReadOnly, admin.TabularInline):
    model = ModelVersion
    fields = ("number", "status", "filename", "blob", "created_by", "created_at")
    readonly_fields = fields
    show_change_link = True
    extra = 0


class AliasInline(ReadOnly, admin.TabularInline):
    model = Alias
    fields = ("name", "version")
    readonly_fields = fields
    extra = 0


class MetadataInline(ReadOnly, admin.StackedInline):
    model = ModelMetadata
    extra = 0


class MoveInline(ReadOnly, admin.TabularInline):
    model = AliasMove
    fk_name = "alias"
    extra = 0


@admin.register(RegisteredModel)
class RegisteredModelAdmin(Audited, admin.ModelAdmin):
    audit_action = "model.described"
    list_display = ("name", "team", "created_by", "created_at")
    list_filter = ("team",)
    search_fields = ("name", "description", "team__name")
    readonly_fields = ("team", "created_by", "created_at")
    inlines = (AliasInline, VersionInline)
    date_hierarchy = "created_at"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(EditedCard)
class EditedCardAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("model", "revision", "edited_by", "edited_at")
    list_filter = ("model__team",)
    list_select_related = ("model", "edited_by")
    search_fields = ("model__name",)


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("model", "number", "status", "refusal_code", "filename", "created_by", "created_at")
    list_filter = ("status", "refusal_code", "metadata__format", "model__team")
    list_select_related = ("model", "created_by")
    search_fields = ("model__name", "filename", "blob__sha256")
    inlines = (MetadataInline,)
    date_hierarchy = "created_at"


@admin.register(Alias)
class AliasAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("model", "name", "version")
    list_filter = ("name", "model__team")
    list_select_related = ("model", "version__model")
    search_fields = ("name", "model__name")
    inlines = (MoveInline,)


@admin.register(DataSet)
class DataSetAdmin(Audited, admin.ModelAdmin):
    audit_action = "dataset.described"
    list_display = ("name", "team", "status", "refusal_code", "created_by", "created_at")
    list_filter = ("status", "refusal_code", "team")
    search_fields = ("name", "description", "filename", "blob__sha256")
    fields = (
        "name",
        "description",
        "team",
        "status",
        "refusal_code",
        "refusal",
        "filename",
        "blob",
        "spec",
        "summary",
        "created_by",
        "created_at",
    )
    readonly_fields = fields[2:]
    date_hierarchy = "created_at"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Blob)
class BlobAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("sha256", "size_bytes", "created_at", "touched_at", "damaged_at")
    list_filter = (("damaged_at", admin.EmptyFieldListFilter),)
    search_fields = ("sha256",)
    date_hierarchy = "created_at"


@admin.register(Upload)
class UploadAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("filename", "team", "user", "received_bytes", "size_bytes", "created_at", "expires_at")
    list_filter = ("team",)
    search_fields = ("filename", "user__email")


@admin.register(StoreSettings)
class StoreSettingsAdmin(Audited, admin.ModelAdmin):
    """A single row that always exists. Its limits apply from the next upload on."""

    audit_action = "store.settings_changed"
    list_display = (
        "__str__",
        "max_upload_bytes",
        "max_unpacked_bytes",
        "upload_lifetime_hours",
        "default_quota_bytes",
        "accept_code",
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        StoreSettings.current()
        return super().get_queryset(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(StoreQuota)
class StoreQuotaAdmin(Audited, admin.ModelAdmin):
    """Teams whose quota differs from the default."""

    audit_action = "store.quota_changed"
    audit_deletion = "store.quota_removed"
    list_display = ("team", "quota_bytes")
    list_select_related = ("team",)
