"""What happens when two do the same at the same moment, on real transactions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from apps.accounts.models import Membership, Role, Team, User
from apps.models import approvals, messages, services
from apps.models.errors import UploadOffsetMismatch, UploadUnknown
from apps.models.models import (
    Alias,
    AliasMove,
    AliasRequest,
    Blob,
    DataSet,
    InspectionStatus,
    ModelVersion,
    RegisteredModel,
    Upload,
    UploadChunk,
)
from apps.models.storage import put_stream
from tests.models.conftest import SPEC, linear_model, upload_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_workers(monkeypatch) -> None:
    monkeypatch.setattr(messages, "send_version", lambda pk: None)
    monkeypatch.setattr(messages, "send_dataset", lambda pk: None)


def at_once(*functions: Callable[[], Any]) -> list[Any]:
    """Runs all of them side by side; what each returned or raised."""
    barrier = threading.Barrier(len(functions))
    results: list[Any] = [None] * len(functions)

    def run(index: int, function: Callable[[], Any]) -> None:
        try:
            barrier.wait()
            results[index] = function()
        except Exception as error:
            results[index] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_equal_uploads_at_once_are_kept_once(files: Path):
    data = [b"x" * 100_000] * 5
    blobs = at_once(*[lambda: put_stream(data)] * 4)
    assert len({blob.sha256 for blob in blobs}) == 1
    assert Blob.objects.count() == 1
    assert [path.stat().st_size for path in files.rglob("*") if path.is_file()] == [500_000]


def test_versions_at_once_get_different_numbers(model: RegisteredModel, engineer: User):
    def add(size: int) -> ModelVersion:
        return services.add_version(model, engineer, file=upload_of(linear_model(classes=size)))

    made = at_once(*[lambda size=size: add(size) for size in (2, 3, 4)])
    assert sorted(version.number for version in made) == [1, 2, 3]


def test_moves_of_an_alias_at_once_come_one_after_the_other(model: RegisteredModel, engineer: User):
    versions = [services.add_version(model, engineer, file=upload_of(linear_model(classes=size))) for size in (2, 3, 4)]
    ModelVersion.objects.update(status=InspectionStatus.READY)
    for version in versions:
        version.refresh_from_db()
    results = at_once(
        *[lambda version=version: services.move_alias(model, "production", version, engineer) for version in versions]
    )
    assert all(isinstance(result, Alias) for result in results)
    moves = list(AliasMove.objects.order_by("pk"))
    assert [move.from_version for move in moves] == [None, *[move.to_version for move in moves[:-1]]]
    assert Alias.objects.get().version == moves[-1].to_version


def test_of_two_pieces_at_once_one_is_taken(team: Team, engineer: User, files: Path):
    upload = services.begin_upload(team, engineer, "f", 8)
    copies = [type(upload).objects.get(pk=upload.pk) for _ in range(3)]
    results = at_once(*[lambda copy=copy: services.append_chunk(copy, 0, BytesIO(b"1234")) for copy in copies])
    assert sum(isinstance(result, UploadOffsetMismatch) for result in results) == 2
    assert UploadChunk.objects.count() == 1
    assert len([path for path in (files / "uploads").rglob("*") if path.is_file()]) == 1


def finished_upload(team: Team, user: User, content: bytes) -> Upload:
    upload = services.begin_upload(team, user, "net.onnx", len(content))
    return services.append_chunk(upload, 0, BytesIO(content))


def test_of_four_requests_that_finish_one_upload_one_makes_a_version(model: RegisteredModel, engineer: User):
    upload = finished_upload(model.team, engineer, linear_model())
    copies = [Upload.objects.get(pk=upload.pk) for _ in range(4)]
    results = at_once(*[lambda copy=copy: services.add_version(model, engineer, upload=copy) for copy in copies])
    assert sum(isinstance(result, ModelVersion) for result in results) == 1, results
    assert sum(isinstance(result, UploadUnknown) for result in results) == 3, results
    assert model.versions.get().number == 1
    assert not Upload.objects.exists()


def test_of_four_requests_that_finish_one_upload_one_makes_a_data_set(team: Team, engineer: User, npz_bytes: bytes):
    upload = finished_upload(team, engineer, npz_bytes)
    copies = list(enumerate(Upload.objects.get(pk=upload.pk) for _ in range(4)))
    results = at_once(
        *[lambda n=n, copy=copy: services.add_dataset(team, engineer, f"d{n}", SPEC, upload=copy) for n, copy in copies]
    )
    assert sum(isinstance(result, DataSet) for result in results) == 1, results
    assert sum(isinstance(result, UploadUnknown) for result in results) == 3, results
    assert DataSet.objects.count() == 1


def test_one_name_at_once_is_given_once(team: Team, engineer: User):
    results = at_once(*[lambda: services.register_model(team, engineer, "Net")] * 3)
    assert sum(isinstance(result, RegisteredModel) for result in results) == 1
    assert RegisteredModel.objects.count() == 1


def test_of_two_approvals_at_once_one_counts(make_version: Callable[..., ModelVersion], team: Team):
    first, second = make_version(2), make_version(3)
    people = [User.objects.create_user(f"{name}@example.org") for name in ("ada", "bo", "cy")]
    for person in people:
        Membership.objects.create(team=team, user=person, role=Role.OWNER)
    alias = services.move_alias(first.model, "production", first, people[0])
    approvals.protect(alias, people[0], protected=True)
    asked = services.move_or_ask(first.model, "production", second, people[0])
    assert isinstance(asked, AliasRequest)

    results = at_once(*[lambda person=person: approvals.approve(asked, person, "yes") for person in people[1:]])

    assert sorted(type(result).__name__ for result in results) == ["Alias", "RequestSettled"]
    assert AliasMove.objects.count() == 2
    assert Alias.objects.get().version == second
    assert AliasRequest.objects.get().decided_by in people[1:]
