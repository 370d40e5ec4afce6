"""A store that refuses, does not answer or is full: pages and API say so, and nothing is half done."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.models.models import Blob, ModelVersion, RegisteredModel
from apps.models.storage import local_path, open_blob, put_stream
from apps.models.trouble import store_is_away
from lathe import addresses
from tests.faults.bucket import KEYS, Bucket, refusing, storage_url
from tests.faults.strikes import broken_after
from tests.faults.wire import Wire
from tests.live_portal import free_port
from tests.models.conftest import linear_model
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.portable]
Use = Callable[[int], None]


@pytest.fixture
def use(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Use:
    """Makes the bucket at a port the store."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(addresses.S3_PATIENCE, "retries", {"mode": "standard", "total_max_attempts": 1})

    def use_port(port: int) -> None:
        settings.STORAGES = {**settings.STORAGES, "default": addresses.storage(storage_url(port))}

    return use_port


@pytest.fixture(params=["away", "500", "503", "keys"])
def lose(request: pytest.FixtureRequest, use: Use) -> Iterator[Callable[[], None]]:
    """Makes a bucket the store that is of no use."""
    if request.param == "away":
        yield lambda: use(free_port())
        return
    code = {"500": "InternalError", "503": "SlowDown", "keys": "InvalidAccessKeyId"}[request.param]
    with refusing(403 if request.param == "keys" else int(request.param), code) as port:
        yield lambda: use(port)


def told(answer: Any) -> None:
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5"), answer.content[:500]
    assert b"service.store_away" in answer.content


def test_an_upload_is_refused_with_a_code_and_leaves_nothing(
    client: Client, model: RegisteredModel, engineer: User, lose: Callable[[], None]
) -> None:
    client.force_login(engineer)
    lose()
    page = reverse("models:model-upload")
    for url, names in (
        ("/api/v1/versions/", {"model": model.pk}),
        (page, {"model": model.pk}),
        (page, {"name": "New"}),
    ):
        told(client.post(url, {**names, "file": SimpleUploadedFile("net.onnx", linear_model())}))
    assert not Blob.objects.exists()
    assert not ModelVersion.objects.exists()
    assert RegisteredModel.objects.get() == model


def test_a_download_is_refused_with_a_code_and_blames_no_file(
    client: Client, model: RegisteredModel, version: ModelVersion, engineer: User, lose: Callable[[], None]
) -> None:
    client.force_login(engineer)
    lose()
    for url in (f"/api/v1/versions/{version.pk}/file/", reverse("models:version-file", args=[model.pk, 1])):
        told(client.get(url))
    version.blob.refresh_from_db()
    assert version.blob.damaged_at is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_folder_that_is_full_or_broken_is_the_same(
    client: Client, model: RegisteredModel, engineer: User, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refuse)
    client.force_login(engineer)
    told(client.post("/api/v1/versions/", {"model": model.pk, "file": SimpleUploadedFile("net.onnx", b"bytes")}))
    assert not ModelVersion.objects.exists()


def test_what_else_fails_on_a_network_is_not_the_store() -> None:
    assert not store_is_away(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"))
    assert not store_is_away(ZeroDivisionError())


# --- a bucket that answers --------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(tmp_path: Path, use: Use) -> Iterator[Wire]:
    """The wire to a bucket that is the store."""
    made = Bucket(tmp_path)
    child = made.child()
    child.start()
    wire = Wire(made.port)
    try:
        wait_until(made.answers, "The bucket", 60)
        made.make()
        use(wire.port)
        yield wire
    finally:
        wire.close()
        child.signal(9)


@pytest.mark.children
def test_a_transfer_that_breaks_is_no_file_and_no_damage(bucket: Wire, client: Client, engineer: User) -> None:
    """Afterwards the same bytes can be stored and are read whole; those that were there are whole still."""
    kept = put_stream([b"k" * 100_000])
    with broken_after(20_000)(bucket):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the client's errors have no common base
            put_stream([b"n" * 100_000])
        assert store_is_away(caught.value)
        with pytest.raises(Exception) as caught, open_blob(kept) as file:  # noqa: PT011
            file.read()
        assert store_is_away(caught.value)
    assert Blob.objects.get() == kept
    kept.refresh_from_db()
    assert kept.damaged_at is None
    for content, blob in ((b"k", kept), (b"n", put_stream([b"n" * 100_000]))):
        with local_path(blob) as path:
            assert path.read_bytes() == content * 100_000


@pytest.mark.children
def test_a_large_file_is_not_read_into_memory(bucket: Wire) -> None:
    default_storage.save("large", ContentFile(b"0" * (addresses.S3_MEMORY_BYTES + 1)))
    with default_storage.open("large") as file:
        assert file.read(1) == b"0"
        assert file.file._rolled, "the rest waits in a temporary file"
