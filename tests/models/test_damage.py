"""Files that were changed or lost behind Lathe's back are never used, are told, and come back with the same bytes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.test import Client, RequestFactory
from django.urls import reverse

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.models import download, storage
from apps.models.download import blob_response
from apps.models.errors import StoreFileDamaged, StoreFileMissing
from apps.models.models import Blob, ModelVersion
from apps.models.storage import local_path, put_stream
from tests.models.test_download import asgi_request

pytestmark = [pytest.mark.django_db, pytest.mark.portable]

CONTENT = b"0123456789"


def changed(path: Path, content: bytes = b"0123456780") -> None:
    """Other bytes in place, with the file's times as they were."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def emptied(path: Path) -> None:
    changed(path, b"")


def replaced(path: Path) -> None:
    other = path.with_suffix(".other")
    other.write_bytes(b"9876543210")
    os.replace(other, path)


def told(action: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action=action))


@pytest.mark.parametrize("damage", [changed, emptied, replaced])
def test_bytes_that_were_changed_are_not_handed_out(files: Path, damage: Callable[[Path], None]):
    blob = put_stream([CONTENT])
    damage(files / blob.storage_name)
    for _ in range(2):
        with pytest.raises(StoreFileDamaged), local_path(blob):
            pass
    blob.refresh_from_db()
    assert blob.damaged_at is not None
    put_stream([CONTENT])
    with local_path(blob) as path:
        assert path.read_bytes() == CONTENT
    blob.refresh_from_db()
    assert blob.damaged_at is None


def test_what_is_damaged_is_named_and_told_once_to_its_team(files: Path, version: ModelVersion, caplog: Any):
    path = files / version.blob.storage_name
    whole = path.read_bytes()
    path.unlink()
    for _ in range(2):
        with pytest.raises(StoreFileMissing, match=str(version)), local_path(version.blob):
            pass
    [event] = told("store.file_damaged")
    assert (event.team_id, event.data) == (version.model.team_id, {"sha256": version.blob_id})
    assert str(version) in caplog.text
    put_stream([whole])
    assert len(told("store.file_healed")) == 1


def test_a_file_is_read_for_its_digest_once_and_again_when_it_changed(files: Path, monkeypatch: pytest.MonkeyPatch):
    blob = put_stream([CONTENT])
    storage._sound.clear()
    monkeypatch.setattr(storage, "TICK_S", 0)
    read: list[Path] = []
    digest = storage.digest_of
    monkeypatch.setattr(storage, "digest_of", lambda path: read.append(path) or digest(path))
    for _ in range(3):
        with local_path(blob):
            pass
    assert len(read) == 1
    replaced(files / blob.storage_name)
    with pytest.raises(StoreFileDamaged), local_path(blob):
        pass
    assert len(read) == 2


@pytest.mark.parametrize(("quickly_read_bytes", "waits", "known"), [(len(CONTENT), 0, False), (0, 1, True)])
def test_what_takes_long_to_read_is_not_read_again_once_it_was_written(
    monkeypatch: pytest.MonkeyPatch, files: Path, quickly_read_bytes: int, waits: int, known: bool
):
    """Its stamp could hide an immediate change, so either the writer waits, or the next reader verifies it."""
    waited: list[float] = []
    monkeypatch.setattr(storage, "QUICKLY_READ_BYTES", quickly_read_bytes)
    monkeypatch.setattr(storage, "TICK_S", 3600)
    monkeypatch.setattr(storage.time, "sleep", waited.append)
    path = files / put_stream([CONTENT]).storage_name
    assert (len(waited), storage._is_known(path)) == (waits, known)


def test_bytes_that_come_again_replace_what_was_changed_and_nobody_had_noticed(files: Path):
    blob = put_stream([CONTENT])
    changed(files / blob.storage_name)
    put_stream([CONTENT])
    assert (files / blob.storage_name).read_bytes() == CONTENT


class TestDownloads:
    @pytest.fixture(autouse=True)
    def _small_pieces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(download, "CHUNK_BYTES", 4)

    def test_a_changed_file_is_never_sent_whole(self, files: Path):
        blob = put_stream([CONTENT])
        changed(files / blob.storage_name)
        response = blob_response(RequestFactory().get("/"), blob, "net.onnx")
        sent: list[bytes] = []
        with pytest.raises(StoreFileDamaged):
            for piece in response:
                sent.append(piece)  # noqa: PERF402
        assert len(b"".join(sent)) < blob.size_bytes
        assert told("store.file_damaged")

    def test_a_file_of_another_size_or_none_is_refused_before_anything_is_sent(self, files: Path):
        blob = put_stream([CONTENT])
        (files / blob.storage_name).write_bytes(b"0123")
        with pytest.raises(StoreFileDamaged):
            blob_response(RequestFactory().get("/"), blob, "net.onnx")
        (files / blob.storage_name).unlink()
        with pytest.raises(StoreFileMissing):
            blob_response(asgi_request(), blob, "net.onnx")

    def test_a_whole_file_comes_in_pieces(self):
        response = blob_response(RequestFactory().get("/"), put_stream([CONTENT]), "net.onnx")
        assert list(response) == [b"0123", b"4567", b"89"]
        response.close()

    def test_a_program_is_told_by_a_code(self, client: Client, version: ModelVersion, engineer: User, files: Path):
        (files / version.blob.storage_name).unlink()
        client.force_login(engineer)
        answer = client.get(f"/api/v1/versions/{version.pk}/file/")
        assert (answer.status_code, answer.json()["code"]) == (500, "store.file_missing")


@pytest.mark.django_db(transaction=True)
def test_a_changed_file_is_never_sent_whole_over_asgi(files: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(download, "CHUNK_BYTES", 4)
    blob = put_stream([CONTENT])
    changed(files / blob.storage_name)
    response = blob_response(asgi_request(), blob, "net.onnx")

    async def read() -> list[bytes]:
        return [piece async for piece in response]

    with pytest.raises(StoreFileDamaged):
        asyncio.run(read())


class TestRemote:
    @pytest.fixture(autouse=True)
    def _remote(self, remote_files: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(storage, "_cache_folder", lambda: tmp_path / "cache")

    def test_a_changed_file_is_healed_by_the_same_bytes(self):
        blob = put_stream([CONTENT])
        default_storage.delete(blob.storage_name)
        with default_storage.open(blob.storage_name, "wb") as file:
            file.write(b"0123456780")
        with pytest.raises(StoreFileDamaged), local_path(blob):
            pass
        put_stream([CONTENT])
        with local_path(blob) as path:
            assert path.read_bytes() == CONTENT
        assert Blob.objects.get().damaged_at is None

    def test_a_copy_that_was_changed_is_fetched_anew(self):
        blob = put_stream([CONTENT])
        with local_path(blob) as path:
            changed(path)
        with local_path(blob) as path:
            assert path.read_bytes() == CONTENT


def test_operators_see_on_the_first_page_what_is_damaged(client: Client, engineer: User, files: Path):
    blob = put_stream([CONTENT])
    (files / blob.storage_name).unlink()
    with pytest.raises(StoreFileMissing), local_path(blob):
        pass
    client.force_login(engineer)
    assert "damaged_at__isempty" not in client.get(reverse("optimization:dashboard")).content.decode()
    User.objects.filter(pk=engineer.pk).update(is_staff=True, is_superuser=True)
    page = client.get(reverse("optimization:dashboard")).content.decode()
    assert "damaged_at__isempty=0" in page
    assert client.get(reverse("admin:models_blob_changelist"), {"damaged_at__isempty": 0}).status_code == 200
