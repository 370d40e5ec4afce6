"""Resumable uploads: bytes arrive in chunks at known offsets, in any web process, and become one blob.

A chunk is stored completely or not at all, and an upload advances by compare-and-set: of two chunks for the same
offset one wins, and the other gets the current offset. Processes hold no state, so any of them can take the next chunk.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import IO

from django.core.files import File
from django.core.files.storage import default_storage
from django.core.files.temp import NamedTemporaryFile
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.accounts.models import Role, Team, User
from apps.accounts.services import require_role
from apps.models import tallies
from apps.models.errors import (
    UploadChunkCut,
    UploadEmpty,
    UploadExpired,
    UploadIncomplete,
    UploadOffsetMismatch,
    UploadOverrun,
    UploadTooLarge,
    UploadUnknown,
)
from apps.models.models import Blob, StoreSettings, Upload, UploadChunk
from apps.models.storage import put_stream, read_chunks, remove_folder, upload_limit_bytes
from apps.models.usage import check_room

logger = logging.getLogger(__name__)


def begin_upload(team: Team, user: User, filename: str, size_bytes: int) -> Upload:
    """A new upload that waits for its first byte.

    Raises `PermissionDenied`, `UploadEmpty`, `UploadTooLarge` or `StoreQuotaExceeded` before any byte is sent.
    """
    require_role(user, team, Role.ENGINEER)
    if size_bytes < 1:
        raise UploadEmpty(field="size_bytes")
    limit_bytes = upload_limit_bytes()
    if size_bytes > limit_bytes:
        raise UploadTooLarge(field="size_bytes", limit_mib=limit_bytes / 2**20)
    check_room(team, size_bytes, field="size_bytes")
    return Upload.objects.create(
        team=team, user=user, filename=filename, size_bytes=size_bytes, expires_at=_next_expiry()
    )


def append_chunk(upload: Upload, offset: int, stream: IO[bytes], *, announced_bytes: int | None = None) -> Upload:
    """Appends the content of `stream` at `offset`, which must be the upload's current offset.

    Raises `UploadOffsetMismatch` (with the right offset), `UploadOverrun` if the file would become longer than
    announced, `UploadChunkCut` if fewer than `announced_bytes` arrived, or `UploadExpired`, and then keeps nothing.
    """
    _refuse_expired(upload)
    if offset != upload.received_bytes:
        raise UploadOffsetMismatch(expected=upload.received_bytes, given=offset)
    room_bytes = upload.size_bytes - offset
    with NamedTemporaryFile(prefix="chunk-") as spool:
        size_bytes = 0
        for piece in read_chunks(stream):
            size_bytes += len(piece)
            if size_bytes > room_bytes:
                raise UploadOverrun(size_bytes=upload.size_bytes)
            spool.write(piece)
        if announced_bytes is not None and size_bytes != announced_bytes:
            raise UploadChunkCut(announced=announced_bytes, received=size_bytes)
        if size_bytes:
            spool.seek(0)
            _keep_chunk(upload, offset, size_bytes, spool)
    upload.refresh_from_db()
    return upload


def _keep_chunk(upload: Upload, offset: int, size_bytes: int, spool: IO[bytes]) -> None:
    name = default_storage.save(f"{upload.folder}/{offset}-{secrets.token_hex(4)}", File(spool))
    try:
        with transaction.atomic():
            moved = Upload.objects.filter(pk=upload.pk, received_bytes=offset, blob=None).update(
                received_bytes=F("received_bytes") + size_bytes, expires_at=_next_expiry()
            )
            if not moved:
                upload.refresh_from_db()
                raise UploadOffsetMismatch(expected=upload.received_bytes, given=offset)
            UploadChunk.objects.create(upload=upload, offset=offset, size_bytes=size_bytes, storage_name=name)
    except BaseException:
        default_storage.delete(name)
        raise


def finish(upload: Upload) -> Blob:
    """The blob of a complete upload; its chunks are removed. A second call returns the same blob.

    Raises `UploadIncomplete` while bytes are missing, `UploadExpired`, and `UploadUnknown` if another request has used
    the upload in the meantime.
    """
    try:
        return _finished(upload)
    except Upload.DoesNotExist as error:
        raise UploadUnknown(field="upload") from error


def _finished(upload: Upload) -> Blob:
    if upload.blob is not None:
        return upload.blob
    _refuse_expired(upload)
    if upload.received_bytes != upload.size_bytes:
        raise UploadIncomplete(received_bytes=upload.received_bytes, size_bytes=upload.size_bytes)
    chunks = list(upload.chunks.all())
    if sum(chunk.size_bytes for chunk in chunks) != upload.size_bytes:
        return _finished_elsewhere(upload)
    try:
        blob = put_stream(_joined(chunk.storage_name for chunk in chunks))
    except FileNotFoundError as error:
        return _finished_elsewhere(upload, error)
    with transaction.atomic():
        Upload.objects.filter(pk=upload.pk).update(blob=blob)
        upload.chunks.all().delete()
        tallies.UPLOADS.count("chunks", measured=upload.size_bytes)
    remove_folder(upload.folder)
    upload.refresh_from_db()
    return blob


def _finished_elsewhere(upload: Upload, error: Exception | None = None) -> Blob:
    """The blob that another request made from the missing chunks. Raises `Upload.DoesNotExist` if that
    request used it.
    """
    upload.refresh_from_db()
    if upload.blob is None:
        raise error or RuntimeError(f"upload {upload.pk} is complete, but its chunks are missing")
    return upload.blob


def _joined(names: Iterable[str]) -> Iterator[bytes]:
    for name in names:
        with default_storage.open(name) as chunk:
            yield from read_chunks(chunk)


def abandon(upload: Upload) -> None:
    """Removes an upload and its chunks."""
    folder = upload.folder
    upload.delete()
    remove_folder(folder)


def expire_uploads() -> int:
    """Removes expired uploads, and chunks without an upload. Returns the number of removed uploads."""
    expired = list(Upload.objects.expired())
    for upload in expired:
        abandon(upload)
    _sweep_chunks()
    return len(expired)


def _sweep_chunks() -> None:
    """Removes chunk folders whose upload is deleted or complete, left by a crash between updating row and files."""
    try:
        folders, _files = default_storage.listdir("uploads")
    except FileNotFoundError:
        return
    waiting = {str(pk) for pk in Upload.objects.filter(blob=None).values_list("pk", flat=True)}
    for folder in set(folders) - waiting:
        logger.info("Removing the chunks of upload %s, which is deleted or complete.", folder)
        remove_folder(f"uploads/{folder}")


def _refuse_expired(upload: Upload) -> None:
    if upload.expired:
        raise UploadExpired()


def _next_expiry() -> datetime:
    """Every chunk renews the full lifetime of its upload."""
    return timezone.now() + timedelta(hours=StoreSettings.current().upload_lifetime_hours)
