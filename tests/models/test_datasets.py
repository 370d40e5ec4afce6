"""Data sets: added, described, deleted."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from apps.accounts.models import Team, User
from apps.models import messages, services
from apps.models.errors import DataSetNameMissing, DataSetNameTaken, DataSetSpecInvalid, DataSetWrongType
from apps.models.models import Blob, DataSet, InspectionStatus
from tests.models.conftest import SPEC, upload_of

pytestmark = pytest.mark.django_db


def image_zip() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("cat/1.png", b"\x89PNG")
    return sink.getvalue()


def test_a_new_data_set_is_pending_and_a_worker_is_asked(
    team: Team, engineer: User, npz_bytes: bytes, monkeypatch, django_capture_on_commit_callbacks
):
    sent: list[int] = []
    monkeypatch.setattr(messages, "send_dataset", sent.append)
    with django_capture_on_commit_callbacks(execute=True):
        dataset = services.add_dataset(team, engineer, " Test  images ", SPEC, file=upload_of(npz_bytes, "test.npz"))
    assert sent == [dataset.pk]
    assert (dataset.name, dataset.status, dataset.filename) == ("Test images", InspectionStatus.PENDING, "test.npz")
    assert dataset.spec["kind"] == "npz"
    assert dataset.spec["label"] == "y"


def test_a_name_is_taken_before_the_file_is_stored(dataset: DataSet, engineer: User):
    with pytest.raises(DataSetNameTaken) as refusal:
        services.add_dataset(dataset.team, engineer, dataset.name, SPEC, file=upload_of(b"something else", "x"))
    assert refusal.value.code == "dataset.name_taken"
    assert Blob.objects.count() == 1


def test_a_data_set_needs_a_name(team: Team, engineer: User, npz_bytes: bytes):
    with pytest.raises(DataSetNameMissing) as refusal:
        services.add_dataset(team, engineer, " ", SPEC, file=upload_of(npz_bytes))
    assert refusal.value.code == "dataset.name_missing"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"kind": "npz"}, "spec.task"),
        ({"kind": "video", "task": "classification"}, "spec.kind"),
        ({"kind": "npz", "task": "regression", "metric": "top1"}, "spec"),
        ({"kind": "images", "task": "classification", "images": {"width": 0}}, "spec.images.width"),
        ({**SPEC, "surprise": 1}, "spec.surprise"),
        ("not an object", "spec"),
    ],
)
def test_a_wrong_spec_names_the_field(team: Team, engineer: User, npz_bytes: bytes, spec: Any, field: str):
    with pytest.raises(DataSetSpecInvalid) as refusal:
        services.add_dataset(team, engineer, "x", spec, file=upload_of(npz_bytes))
    assert (refusal.value.code, refusal.value.field) == ("dataset.spec_invalid", field)


@pytest.mark.parametrize(
    ("kind", "data"),
    [("npz", image_zip()), ("npz", b"a,b\n1,2\n"), ("images", b"a,b\n1,2\n"), ("table", image_zip())],
)
def test_a_wrong_kind_is_refused_at_once_by_its_content(team: Team, engineer: User, kind: str, data: bytes):
    with pytest.raises(DataSetWrongType) as refusal:
        services.add_dataset(team, engineer, "x", {"kind": kind, "task": "classification"}, file=upload_of(data))
    assert refusal.value.code == "dataset.wrong_type"
    assert not DataSet.objects.exists()


@pytest.mark.parametrize(("kind", "data"), [("images", image_zip()), ("table", b"a,b\n1,2\n"), ("table", b"PAR1....")])
def test_each_kind_has_its_files(team: Team, engineer: User, kind: str, data: bytes):
    services.add_dataset(team, engineer, "x", {"kind": kind, "task": "classification"}, file=upload_of(data))


def test_name_and_description_can_change(dataset: DataSet, team: Team, engineer: User, npz_bytes: bytes):
    services.describe_dataset(dataset, engineer, name="Better", description="text")
    dataset.refresh_from_db()
    assert (dataset.name, dataset.description) == ("Better", "text")
    services.add_dataset(team, engineer, "Taken", SPEC, file=upload_of(npz_bytes))
    with pytest.raises(DataSetNameTaken):
        services.describe_dataset(dataset, engineer, name="Taken")


def test_viewers_and_strangers_change_nothing(dataset: DataSet, viewer: User, stranger: User, npz_bytes: bytes):
    for person in (viewer, stranger):
        for attempt in (
            lambda person=person: services.add_dataset(dataset.team, person, "x", SPEC, file=upload_of(npz_bytes)),
            lambda person=person: services.describe_dataset(dataset, person, name="x"),
            lambda person=person: services.delete_dataset(dataset, person),
        ):
            with pytest.raises(PermissionDenied):
                attempt()


def test_a_data_set_can_be_deleted(dataset: DataSet, engineer: User):
    services.delete_dataset(dataset, engineer)
    assert not DataSet.objects.exists()
