"""The content-addressed store: once, whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage, default_storage
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.models import storage
from apps.models.errors import StoreFileMissing, UploadEmpty, UploadTooLarge
from apps.models.models import Blob, StoreSettings, Upload
from apps.models.storage import collect_unreferenced, local_path, open_blob, put_file, put_stream

pytestmark = pytest.mark.django_db


def all_files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def age(blob: Blob, hours: int = 2) -> None:
    Blob.objects.filter(pk=blob.pk).update(touched_at=timezone.now() - timedelta(hours=hours))


def make_old(path: Path, hours: int = 2) -> None:
    then = (timezone.now() - timedelta(hours=hours)).timestamp()
    os.utime(path, (then, then))


def test_a_blob_is_named_after_the_digest_of_its_bytes(files: Path):
    blob = put_stream([b"some ", b"bytes"])
    assert blob.sha256 == sha256(b"some bytes").hexdigest()
    assert blob.size_bytes == 10
    assert (files / blob.storage_name).read_bytes() == b"some bytes"
    assert all_files(files) == [files / blob.storage_name]


def test_the_same_bytes_are_kept_once(files: Path):
    first, second = put_stream([b"same"]), put_stream([b"sa", b"me"])
    assert first == second
    assert len(all_files(files)) == 1


def test_what_arrives_again_counts_as_just_touched():
    blob = put_stream([b"same"])
    age(blob)
    put_stream([b"same"])
    blob.refresh_from_db()
    assert timezone.now() - blob.touched_at < timedelta(minutes=1)


def test_a_stream_that_breaks_leaves_nothing(files: Path):
    def breaking() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        put_stream(breaking())
    assert all_files(files) == []
    assert not Blob.objects.exists()


def test_a_stream_over_the_limit_is_cut_off_at_once(files: Path):
    read = []

    def endless() -> Iterator[bytes]:
        while True:
            read.append(1)
            yield b"x" * 1000

    with pytest.raises(UploadTooLarge) as refusal:
        put_stream(endless(), limit_bytes=2500)
    assert refusal.value.code == "upload.too_large"
    assert len(read) == 3
    assert all_files(files) == []


def test_an_empty_stream_is_refused(files: Path):
    with pytest.raises(UploadEmpty):
        put_stream([])
    assert all_files(files) == []


def test_a_row_whose_bytes_are_gone_is_healed_by_the_next_upload(files: Path):
    blob = put_stream([b"lost"])
    (files / blob.storage_name).unlink()
    with pytest.raises(StoreFileMissing), local_path(blob):
        pass
    with pytest.raises(StoreFileMissing):
        open_blob(blob)
    put_stream([b"lost"])
    with local_path(blob) as path:
        assert path.read_bytes() == b"lost"


def test_putting_a_file_leaves_the_file_where_it_is(tmp_path: Path):
    source = tmp_path / "artifact"
    source.write_bytes(b"made by a step")
    blob = put_file(source)
    assert source.exists()
    assert open_blob(blob).read() == b"made by a step"


def test_the_limit_is_the_smaller_of_the_admins_and_the_operators(settings):
    assert storage.upload_limit_bytes() == settings.LATHE.upload_limit_bytes
    StoreSettings.objects.update(max_upload_bytes=5)
    assert storage.upload_limit_bytes() == 5


def test_only_old_blobs_that_nothing_refers_to_are_collected(files: Path, team: Team, engineer: User):
    used, fresh, unused = put_stream([b"used"]), put_stream([b"fresh"]), put_stream([b"unused"])
    expires_at = timezone.now() + timedelta(hours=1)
    Upload.objects.create(team=team, user=engineer, filename="f", size_bytes=4, blob=used, expires_at=expires_at)
    age(used)
    age(unused)
    assert collect_unreferenced() == 1
    assert set(Blob.objects.all()) == {used, fresh}
    assert sorted(path.name for path in all_files(files)) == sorted([used.sha256, fresh.sha256])


def test_a_blob_that_is_touched_while_the_collector_runs_stays():
    blob = put_stream([b"about to be used"])
    assert not storage._remove(blob.sha256, timezone.now() - timedelta(hours=1))
    assert Blob.objects.filter(pk=blob.pk).exists()


def test_every_relation_to_a_blob_keeps_it():
    relations = {f"{relation.related_model.__name__}.{relation.field.name}" for relation in Blob._meta.related_objects}
    assert {"ModelVersion.blob", "DataSet.blob", "Upload.blob", "SessionStep.artifact"} <= relations


def test_what_a_crash_left_behind_is_swept(files: Path):
    kept = put_stream([b"kept"])
    orphan = files / "blobs" / "ab" / ("ab" * 32)
    half = files / "incoming" / "blob-half"
    for path in (orphan, half):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"?")
    collect_unreferenced()
    assert orphan.exists()  # it may belong to a row that is being written
    make_old(orphan)
    make_old(half)
    make_old(files / kept.storage_name)
    collect_unreferenced()
    assert all_files(files) == [files / kept.storage_name]


def taken_away_before(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, gone: Path) -> None:
    """Another process takes `gone` away just before this one calls the function `name` of `owner`."""
    usual = getattr(owner, name)

    def called(*args: Any, **options: Any) -> Any:
        gone.unlink(missing_ok=True)
        return usual(*args, **options)

    monkeypatch.setattr(owner, name, called)


def test_what_others_take_away_meanwhile_does_not_stop_the_sweep(files: Path, monkeypatch: pytest.MonkeyPatch):
    orphan = files / "blobs" / "ab" / ("ab" * 32)
    moved, half = files / "incoming" / "blob-moved", files / "incoming" / "blob-zz-half"
    for path in (orphan, moved, half):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"?")
        make_old(path)
    taken_away_before(monkeypatch, FileSystemStorage, "get_modified_time", orphan)
    usual = Path.iterdir

    def listed(folder: Path) -> Iterator[Path]:
        found = list(usual(folder))
        moved.unlink(missing_ok=True)
        return iter(found)

    monkeypatch.setattr(Path, "iterdir", listed)
    collect_unreferenced()
    assert all_files(files) == []


def test_an_orphan_that_cannot_be_asked_for_is_an_error(files: Path, monkeypatch: pytest.MonkeyPatch):
    orphan = files / "blobs" / "ab" / ("ab" * 32)
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"?")

    def denied(self: Any, name: str) -> None:
        raise PermissionError(name)

    monkeypatch.setattr(FileSystemStorage, "get_modified_time", denied)
    with pytest.raises(PermissionError):
        collect_unreferenced()


def test_a_file_that_goes_while_it_is_opened_is_missing(files: Path, monkeypatch: pytest.MonkeyPatch):
    blob = put_stream([b"bytes"])
    taken_away_before(monkeypatch, storage, "_is_known", files / blob.storage_name)
    with pytest.raises(StoreFileMissing), local_path(blob):
        pass


class TestRemote:
    """A store without paths, as an object store is one."""

    @pytest.fixture(autouse=True)
    def _remote(self, remote_files: None, settings, tmp_path: Path, monkeypatch) -> None:
        monkeypatch.setattr(storage, "_cache_folder", lambda: tmp_path / "cache")

    def test_bytes_go_there_and_back_once(self, files: Path):
        blob = put_stream([b"far ", b"away"])
        assert put_stream([b"far away"]) == blob
        assert default_storage.listdir(f"blobs/{blob.sha256[:2]}")[1] == [blob.sha256]
        with local_path(blob) as path:
            assert path.read_bytes() == b"far away"
        assert all_files(files) == []

    def test_a_copy_is_downloaded_once(self, monkeypatch):
        blob = put_stream([b"far away"])
        with local_path(blob):
            pass
        monkeypatch.setattr(storage, "_download", None)
        with local_path(blob) as path:
            assert path.read_bytes() == b"far away"

    def test_a_copy_that_is_swept_meanwhile_is_downloaded_again(self, monkeypatch):
        blob = put_stream([b"far away"])
        with local_path(blob) as copy:
            pass
        taken_away_before(monkeypatch, storage, "_is_known", copy)
        with local_path(blob) as path:
            assert path.read_bytes() == b"far away"

    def test_bytes_that_changed_are_not_handed_out(self, tmp_path: Path):
        blob = put_stream([b"right"])
        default_storage.delete(blob.storage_name)
        with default_storage.open(blob.storage_name, "wb") as file:
            file.write(b"wrong")
        with pytest.raises(StoreFileMissing), local_path(blob):
            pass
        assert all_files(tmp_path / "cache") == []

    def test_a_second_name_that_the_storage_made_up_is_removed(self):
        with default_storage.open(f"blobs/{sha256(b'x').hexdigest()[:2]}/{sha256(b'x').hexdigest()}", "wb") as file:
            file.write(b"x")
        blob = put_stream([b"x"])
        assert default_storage.listdir(f"blobs/{blob.sha256[:2]}")[1] == [blob.sha256]

    def test_copies_that_were_not_used_for_a_day_go(self):
        blob = put_stream([b"far away"])
        with local_path(blob) as path:
            make_old(path, hours=25)
        collect_unreferenced()
        assert not path.exists()
        assert Blob.objects.filter(pk=blob.pk).exists()

    def test_collecting_removes_the_remote_bytes(self):
        blob = put_stream([b"far away"])
        age(blob)
        assert collect_unreferenced() == 1
        assert not default_storage.exists(blob.storage_name)
