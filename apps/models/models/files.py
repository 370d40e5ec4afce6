"""Files by their content, and uploads in chunks."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from apps.accounts.models import Team
from apps.models.querysets import BlobQuerySet, UploadQuerySet


class Blob(models.Model):
    """A file by its content: identical bytes are stored once. Unreferenced rows are garbage-collected."""

    sha256 = models.CharField(primary_key=True, max_length=64)
    size_bytes = models.BigIntegerField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    touched_at = models.DateTimeField(default=timezone.now, editable=False)
    """When these bytes last arrived. A recently touched blob is kept, because a row may be about to refer to it."""
    damaged_at = models.DateTimeField(null=True, blank=True, editable=False)
    """When the bytes were found missing or changed; empty if no damage is known."""

    objects = BlobQuerySet.as_manager()

    def __str__(self) -> str:
        return self.sha256[:12]

    @property
    def storage_name(self) -> str:
        """The path of the bytes in the store."""
        return f"blobs/{self.sha256[:2]}/{self.sha256}"


class Upload(models.Model):
    """A resumable upload: bytes arrive in chunks at `received_bytes` until `size_bytes` have arrived."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="uploads")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    filename = models.CharField(max_length=255)
    size_bytes = models.BigIntegerField()
    received_bytes = models.BigIntegerField(default=0)
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, null=True, blank=True, related_name="uploads")
    """Set once complete."""
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()

    objects = UploadQuerySet.as_manager()

    def __str__(self) -> str:
        return self.filename

    @property
    def complete(self) -> bool:
        return self.blob_id is not None

    @property
    def expired(self) -> bool:
        return self.expires_at <= timezone.now()

    @property
    def folder(self) -> str:
        """The path of the chunks in the store."""
        return f"uploads/{self.pk}"


class UploadChunk(models.Model):
    """One chunk of an upload, stored completely or not at all. Deleted once the upload is complete."""

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="chunks")
    offset = models.BigIntegerField()
    size_bytes = models.BigIntegerField()
    storage_name = models.CharField(max_length=120)

    class Meta:
        ordering = ("offset",)
        constraints = (models.UniqueConstraint(fields=("upload", "offset"), name="one_chunk_per_offset"),)

    def __str__(self) -> str:
        return f"{self.upload_id} at {self.offset}"
