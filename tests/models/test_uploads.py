"""Resumable uploads: chunks at offsets, whole or not at all."""

from __future__ import annotations

from datetime import timedelta
from io import BytesIO
from pathlib import Path

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.models import uploads
from apps.models.errors import (
    UploadChunkCut,
    UploadEmpty,
    UploadExpired,
    UploadIncomplete,
    UploadOffsetMismatch,
    UploadOverrun,
    UploadTooLarge,
)
from apps.models.models import Blob, StoreSettings, Upload, UploadChunk
from apps.models.storage import open_blob
from apps.models.uploads import abandon, append_chunk, begin_upload, expire_uploads, finish

pytestmark = pytest.mark.django_db


@pytest.fixture
def upload(team: Team, engineer: User) -> Upload:
    return begin_upload(team, engineer, "model.onnx", 10)


def chunks_in(files: Path) -> list[Path]:
    return [path for path in (files / "uploads").rglob("*") if path.is_file()]


def test_pieces_become_one_file(upload: Upload, files: Path):
    for offset, piece in ((0, b"0123"), (4, b"45"), (6, b"6789")):
        append_chunk(upload, offset, BytesIO(piece))
    blob = finish(upload)
    assert open_blob(blob).read() == b"0123456789"
    assert upload.complete
    assert finish(upload) == blob
    assert not UploadChunk.objects.exists()
    assert not (files / "uploads" / str(upload.pk)).exists()


def test_pieces_become_one_file_without_a_file_system(remote_files: None, upload: Upload):
    append_chunk(upload, 0, BytesIO(b"01234"))
    append_chunk(upload, 5, BytesIO(b"56789"))
    assert open_blob(finish(upload)).read() == b"0123456789"


def test_a_viewer_cannot_begin(team: Team, viewer: User):
    with pytest.raises(PermissionDenied):
        begin_upload(team, viewer, "model.onnx", 10)


def test_an_empty_file_is_refused_before_it_begins(team: Team, engineer: User):
    with pytest.raises(UploadEmpty):
        begin_upload(team, engineer, "model.onnx", 0)


def test_a_file_over_the_limit_is_refused_before_it_begins(team: Team, engineer: User):
    StoreSettings.current()
    StoreSettings.objects.update(max_upload_bytes=100)
    with pytest.raises(UploadTooLarge):
        begin_upload(team, engineer, "model.onnx", 101)
    assert not Upload.objects.exists()


def test_a_wrong_offset_is_told_the_right_one(upload: Upload, files: Path):
    append_chunk(upload, 0, BytesIO(b"0123"))
    for wrong in (0, 3, 5):
        with pytest.raises(UploadOffsetMismatch) as refusal:
            append_chunk(upload, wrong, BytesIO(b"xx"))
        assert refusal.value.context["expected"] == 4
    assert len(chunks_in(files)) == 1


def test_of_two_pieces_for_one_place_the_first_counts(upload: Upload, files: Path):
    late = Upload.objects.get(pk=upload.pk)
    append_chunk(upload, 0, BytesIO(b"0123"))
    with pytest.raises(UploadOffsetMismatch) as refusal:
        append_chunk(late, 0, BytesIO(b"abcdef"))
    assert refusal.value.context["expected"] == 4
    assert [path.read_bytes() for path in chunks_in(files)] == [b"0123"]


def test_a_piece_that_reaches_too_far_is_refused_whole(upload: Upload, files: Path):
    append_chunk(upload, 0, BytesIO(b"01234567"))
    with pytest.raises(UploadOverrun):
        append_chunk(upload, 8, BytesIO(b"89X"))
    upload.refresh_from_db()
    assert upload.received_bytes == 8
    assert len(chunks_in(files)) == 1


def test_a_piece_that_was_cut_short_is_refused_whole(upload: Upload, files: Path):
    with pytest.raises(UploadChunkCut):
        append_chunk(upload, 0, BytesIO(b"012"), announced_bytes=4)
    assert chunks_in(files) == []
    assert Upload.objects.get().received_bytes == 0


def test_an_empty_piece_changes_nothing(upload: Upload):
    append_chunk(upload, 0, BytesIO(b""))
    assert upload.received_bytes == 0
    assert not UploadChunk.objects.exists()


def test_an_upload_with_a_gap_at_the_end_cannot_be_finished(upload: Upload):
    append_chunk(upload, 0, BytesIO(b"0123"))
    with pytest.raises(UploadIncomplete):
        finish(upload)
    assert not Blob.objects.exists()


def test_every_piece_gives_an_upload_its_lifetime_again(upload: Upload):
    Upload.objects.update(expires_at=timezone.now() + timedelta(minutes=1))
    append_chunk(upload, 0, BytesIO(b"0123"))
    assert upload.expires_at > timezone.now() + timedelta(hours=23)


def test_an_upload_that_was_left_is_gone_with_its_pieces(upload: Upload, files: Path, team: Team, engineer: User):
    append_chunk(upload, 0, BytesIO(b"0123"))
    begin_upload(team, engineer, "another", 5)
    Upload.objects.filter(pk=upload.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    upload.refresh_from_db()
    with pytest.raises(UploadExpired):
        append_chunk(upload, 4, BytesIO(b"45"))
    with pytest.raises(UploadExpired):
        finish(upload)
    assert expire_uploads() == 1
    assert [row.filename for row in Upload.objects.all()] == ["another"]
    assert chunks_in(files) == []


def test_pieces_without_an_upload_are_swept(upload: Upload, files: Path):
    append_chunk(upload, 0, BytesIO(b"0123"))
    stray = files / "uploads" / "00000000-0000-0000-0000-000000000000" / "0-ab"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"?")
    expire_uploads()
    assert not stray.exists()
    assert len(chunks_in(files)) == 1


def test_abandoning_takes_the_pieces_along(upload: Upload, files: Path):
    append_chunk(upload, 0, BytesIO(b"0123"))
    abandon(upload)
    assert chunks_in(files) == []


def test_finishing_twice_at_once_gives_one_file(upload: Upload, monkeypatch):
    append_chunk(upload, 0, BytesIO(b"0123456789"))
    late = Upload.objects.get(pk=upload.pk)
    put = uploads.put_stream

    def overtaken(pieces):
        """Another process finishes the same upload before this one has read it."""
        monkeypatch.setattr(uploads, "put_stream", put)
        finish(upload)
        return put(pieces)

    monkeypatch.setattr(uploads, "put_stream", overtaken)
    assert finish(late) == upload.blob
    assert Blob.objects.count() == 1
