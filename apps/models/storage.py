"""The content-addressed store on Django's storage API: each file is stored once, under the SHA-256 of its bytes.

One rule keeps bytes and rows consistent: code that adds or removes the bytes of a blob holds the lock of its row. Bytes
arrive in a temporary file and are moved into place as a whole, so the store never contains partial files.
`collect_unreferenced` removes what a crash leaves behind (bytes without a row).

Files are verified before use: the digest is checked when a process first uses a file and whenever the file has changed
since. Storing the same bytes again repairs a damaged file (`apps.models.damage`).
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

from django.conf import settings
from django.core.files import File
from django.core.files.storage import FileSystemStorage, default_storage
from django.db import transaction
from django.db.models import ProtectedError, RestrictedError
from django.utils import timezone

from apps.agents.files.digest import digest_of
from apps.models import damage
from apps.models.errors import StoreFileDamaged, StoreFileMissing, UploadEmpty, UploadTooLarge
from apps.models.models import Blob, StoreSettings

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1024 * 1024
GRACE = timedelta(hours=1)
"""How long unreferenced bytes are kept, because a row may be about to refer to them."""
CACHE_LIFETIME = timedelta(hours=24)
"""How long a copy of a remote file is kept on this machine after its last use."""
TICK_S = 0.02
"""Two changes of a file within this time can leave the same change time."""
QUICKLY_READ_BYTES = 4 * 2**20
"""A file of at most this size is read and verified in less time than that."""
MOST_STAMPS = 10_000
_sound: dict[Path, tuple[int, ...]] = {}
"""The state of each file when this process last verified its digest. An unchanged file is not read again."""


def upload_limit_bytes() -> int:
    """The largest file that can be uploaded: the admin's limit, but never more than the environment's."""
    return min(StoreSettings.current().max_upload_bytes, settings.LATHE.upload_limit_bytes)


# --- in --------------------------------------------------------------------------------------------------------------


def put_stream(chunks: Iterable[bytes], *, limit_bytes: int | None = None) -> Blob:
    """Stores the bytes of `chunks`, once, and returns their blob. One chunk is in memory at a time.

    Raises `UploadTooLarge` as soon as more than `limit_bytes` have arrived and `UploadEmpty` if none did. After any
    exception, including one from `chunks`, no part of the file is kept.
    """
    with _temporary_file() as file:
        digest, size_bytes = hashlib.sha256(), 0
        for chunk in chunks:
            size_bytes += len(chunk)
            if limit_bytes is not None and size_bytes > limit_bytes:
                raise UploadTooLarge(field="file", limit_mib=limit_bytes / 2**20)
            digest.update(chunk)
            file.write(chunk)
        if not size_bytes:
            raise UploadEmpty(field="file")
        file.flush()
        return _keep(Path(file.name), digest.hexdigest(), size_bytes)


def put_file(path: Path) -> Blob:
    """Stores a copy of the file at `path`. The file itself stays in place."""
    with path.open("rb") as file:
        return put_stream(read_chunks(file))


def read_chunks(file: IO[bytes], size: int = CHUNK_BYTES) -> Iterator[bytes]:
    while chunk := file.read(size):
        yield chunk


def _keep(temporary: Path, sha256: str, size_bytes: int) -> Blob:
    """Moves the bytes into place and creates their row, under the row's lock."""
    root = _local_root()
    with transaction.atomic():
        blob, created = Blob.objects.select_for_update().get_or_create(
            sha256=sha256, defaults={"size_bytes": size_bytes}
        )
        if not created:
            blob.touched_at = timezone.now()
            blob.save(update_fields=["touched_at"])
        # Bytes without a row may be about to be swept, so a new row stores its own. Other bytes are replaced unless
        # they are known to be correct, because moving them is cheaper than reading them.
        if root is None:
            _send(temporary, blob, anew=created)
        elif created or not _is_known(root / blob.storage_name):
            _move(temporary, root / blob.storage_name)
        damage.healed(blob)
    if root is not None:
        _remember(root / blob.storage_name)
    return blob


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.chmod(default_storage.file_permissions_mode or 0o640)  # type: ignore[attr-defined]
    os.replace(source, target)


def _send(source: Path, blob: Blob, *, anew: bool) -> None:
    name = blob.storage_name
    if not anew and default_storage.exists(name):
        if blob.damaged_at is None:
            return
        default_storage.delete(name)
    with source.open("rb") as file:
        saved = default_storage.save(name, File(file))
    if saved != name:
        # The same bytes were stored a moment earlier, so the storage chose another name for this copy.
        default_storage.delete(saved)


@contextmanager
def _temporary_file() -> Iterator[IO[bytes]]:
    """A file on the store's file system, so that moving it into place is atomic. Deleted at the end unless moved."""
    root = _local_root()
    folder = None if root is None else root / "incoming"
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix="blob-", delete=False) as file:
        try:
            yield file
        finally:
            Path(file.name).unlink(missing_ok=True)


def _local_root() -> Path | None:
    """The store's folder, or `None` if the store is not a file system."""
    return Path(default_storage.location) if isinstance(default_storage, FileSystemStorage) else None


# --- out -------------------------------------------------------------------------------------------------------------


def is_stored(blob: Blob) -> bool:
    """Whether the store has a file for the blob. Its bytes are not read."""
    return bool(default_storage.exists(blob.storage_name))


def open_blob(blob: Blob) -> IO[bytes]:
    """The bytes as an open file. The caller must verify them while reading. Raises `StoreFileMissing`."""
    try:
        return default_storage.open(blob.storage_name)
    except FileNotFoundError as error:
        raise damage.found(blob, StoreFileMissing) from error


@contextmanager
def local_path(blob: Blob) -> Iterator[Path]:
    """A path for reading the bytes within the context: the store's own file, or a copy on this machine.

    The file has no suffix and must not be written to. Raises `StoreFileMissing`, and `StoreFileDamaged` if its bytes
    have changed.
    """
    root = _local_root()
    if root is None:
        yield _cached(blob)
        return
    path = root / blob.storage_name
    try:
        sound = _is_sound(path, blob)
    except FileNotFoundError as error:
        raise damage.found(blob, StoreFileMissing) from error
    if not sound:
        raise damage.found(blob, StoreFileDamaged)
    yield path


def _is_sound(path: Path, blob: Blob) -> bool:
    """Whether the file at `path` contains the bytes of `blob`. It is read only if it has changed since
    the last check. Raises `FileNotFoundError`.
    """
    if _is_known(path):
        return True
    if path.stat().st_size != blob.size_bytes or digest_of(path) != blob.sha256:
        return False
    _remember(path)
    damage.healed(blob)
    return True


def _is_known(path: Path) -> bool:
    try:
        return _sound.get(path) == _stamp(path)
    except FileNotFoundError:
        return False


def _remember(path: Path) -> None:
    """Marks the file at `path` as correct until it changes. A small one that has just changed is left to the next
    reader: an immediate further change could not be distinguished from this state.
    """
    if len(_sound) >= MOST_STAMPS:
        _sound.clear()
    found = path.stat()
    if time.time() - found.st_ctime < TICK_S:
        if found.st_size <= QUICKLY_READ_BYTES:
            return
        time.sleep(TICK_S)
    _sound[path] = _stamp(path)


def _stamp(path: Path) -> tuple[int, ...]:
    """A value that changes when the file does. Unlike the modification time, the change time cannot be set back."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _cache_folder() -> Path:
    return Path(settings.LATHE.var_dir) / "cache" / "blobs"


def _cached(blob: Blob) -> Path:
    """A local copy of a remote blob, downloaded once and verified by its digest."""
    path = _cache_folder() / blob.sha256
    try:
        sound = _is_sound(path, blob)
        if sound:
            os.utime(path)  # keeps `_sweep_local` from removing the file in use
    except FileNotFoundError:
        sound = False
    if not sound:
        _download(blob, path)
    _remember(path)
    return path


def _download(blob: Blob, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix="incoming-", delete=False) as file:
        try:
            digest = hashlib.sha256()
            with open_blob(blob) as source:
                for chunk in read_chunks(source):
                    digest.update(chunk)
                    file.write(chunk)
            if digest.hexdigest() != blob.sha256:
                raise damage.found(blob, StoreFileDamaged)
            file.flush()
            os.replace(file.name, path)
            damage.healed(blob)
        finally:
            Path(file.name).unlink(missing_ok=True)


# --- removal ---------------------------------------------------------------------------------------------------------


def collect_unreferenced(*, grace: timedelta = GRACE) -> int:
    """Removes unreferenced blobs whose bytes arrived more than `grace` ago. Returns their number.

    Also removes what crashes left behind: bytes without a row, partial temporary files, old copies of remote
    files.
    """
    before = timezone.now() - grace
    stale = Blob.objects.unreferenced().filter(touched_at__lt=before).values_list("pk", flat=True)
    removed = sum(_remove(sha256, before) for sha256 in list(stale))
    _sweep_orphans(before)
    _sweep_local(before)
    return removed


def _remove(sha256: str, before: datetime) -> bool:
    """Removes one blob unless it was touched or referenced in the meantime."""
    with transaction.atomic():
        blob = Blob.objects.select_for_update().filter(pk=sha256, touched_at__lt=before).first()
        if blob is None:
            return False
        name = blob.storage_name
        try:
            blob.delete()
        except (ProtectedError, RestrictedError):
            return False
        # Inside the transaction, under the lock: if this fails, the row stays, and `put_stream` can restore its bytes.
        default_storage.delete(name)
        return True


def _sweep_orphans(before: datetime) -> None:
    """Removes bytes whose row was never committed."""
    for folder in _names("blobs", folders=True):
        names = _names(f"blobs/{folder}")
        known = set(Blob.objects.filter(pk__in=names).values_list("pk", flat=True))
        for name in names:
            path = f"blobs/{folder}/{name}"
            if name not in known and _is_older(path, before):
                logger.info("Removing %s, which has no row.", path)
                default_storage.delete(path)


def _is_older(name: str, than: datetime) -> bool:
    """Whether the file changed before; false if it is gone meanwhile, which each storage says in its own way."""
    try:
        return default_storage.get_modified_time(name) < than
    except Exception:
        if default_storage.exists(name):
            raise
        return False


def _names(folder: str, *, folders: bool = False) -> list[str]:
    try:
        found = default_storage.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(found[0] if folders else found[1])


def _sweep_local(before: datetime) -> None:
    """Removes temporary files of dead processes, and copies that have not been used for a while."""
    root = _local_root()
    unused = timezone.now() - CACHE_LIFETIME
    for folder, limit in ((root / "incoming" if root else None, before), (_cache_folder(), unused)):
        if folder is None or not folder.is_dir():
            continue
        for path in folder.iterdir():
            with suppress(FileNotFoundError):  # An upload is moved into place, or another process sweeps, too.
                if path.stat().st_mtime < limit.timestamp():
                    path.unlink()


def remove_folder(name: str) -> None:
    """Removes the files directly in a folder of the store, and the folder itself if the storage has folders."""
    for file in _names(name):
        default_storage.delete(f"{name}/{file}")
    root = _local_root()
    if root is not None:
        shutil.rmtree(root / name, ignore_errors=True)
