"""Models and versions: registered, added, described, deleted."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client

from apps.accounts.models import Team, User
from apps.agents.contracts.errors.models import ModelMalformed, ModelTruncated, ModelWrongType
from apps.audit.models import AuditEvent
from apps.models import intake, messages, services
from apps.models.download import download_name
from apps.models.errors import (
    FileNotGiven,
    ModelNameMissing,
    ModelNameTaken,
    ReadmeTooLong,
    TagsInvalid,
    UploadTooLarge,
    UploadUnknown,
    VersionElsewhere,
    VersionInUse,
)
from apps.models.models import Blob, InspectionStatus, ModelVersion, RegisteredModel, StoreSettings, Upload
from apps.models.storage import put_stream
from tests.models import archives
from tests.models.conftest import linear_model, metadata_of, upload_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(monkeypatch) -> list[int]:
    """The ids of the versions that workers were asked to check."""
    ids: list[int] = []
    monkeypatch.setattr(messages, "send_version", ids.append)
    return ids


def test_a_model_has_a_clean_name_and_clean_tags(team: Team, engineer: User):
    model = services.register_model(team, engineer, "  My   model ", " text ", ["B", "a", " a ", ""])
    assert (model.name, model.description, model.tags) == ("My model", "text", ["a", "b"])
    assert model.created_by == engineer


@pytest.mark.parametrize("name", ["", "   ", "x" * 121])
def test_a_model_needs_a_name(team: Team, engineer: User, name: str):
    with pytest.raises(ModelNameMissing) as refusal:
        services.register_model(team, engineer, name)
    assert refusal.value.code == "model.name_missing"


def test_a_name_is_unique_in_its_team_only(model: RegisteredModel, engineer: User, other_team: Team, stranger: User):
    with pytest.raises(ModelNameTaken) as refusal:
        services.register_model(model.team, engineer, model.name)
    assert (refusal.value.code, refusal.value.field, refusal.value.status) == ("model.name_taken", "name", 409)
    services.register_model(other_team, stranger, model.name)


def test_renaming_to_a_taken_name_is_refused(model: RegisteredModel, team: Team, engineer: User):
    other = services.register_model(team, engineer, "Other")
    with pytest.raises(ModelNameTaken):
        services.describe_model(other, engineer, name=model.name)


@pytest.mark.parametrize("tags", [["x" * 41], ["a,b"], [str(number) for number in range(21)]])
def test_tags_are_few_and_short(model: RegisteredModel, engineer: User, tags: list[str]):
    with pytest.raises(TagsInvalid) as refusal:
        services.describe_model(model, engineer, tags=tags)
    assert refusal.value.code == "model.tags_invalid"


def test_describing_changes_what_is_given_and_leaves_the_rest(model: RegisteredModel, engineer: User):
    services.describe_model(model, engineer, description="better")
    model.refresh_from_db()
    assert (model.name, model.description, model.tags) == ("Fashion classifier", "better", ["cnn", "vision"])


def test_a_readme_is_kept_shown_and_in_the_audit_trail(model: RegisteredModel, engineer: User, client: Client):
    services.describe_model(model, engineer, readme=" # Use\r\n\r\n<script>alert(1)</script> **only** for tests ")
    model.refresh_from_db()
    assert model.readme == "# Use\n\n<script>alert(1)</script> **only** for tests"
    event = AuditEvent.objects.filter(action="model.described").latest("pk")
    assert event.data["readme"] == ["", model.readme]
    client.force_login(engineer)
    page = client.get(model.get_absolute_url()).content.decode()
    assert "<h3>Use</h3>" in page
    assert "<strong>only</strong>" in page
    assert "<script>alert(1)" not in page
    form = {"name": model.name, "tags": "", "description": "", "readme": "other"}
    client.post(f"{model.get_absolute_url()}describe/", form)
    model.refresh_from_db()
    assert model.readme == "other"


def test_a_readme_has_a_limit(model: RegisteredModel, engineer: User):
    with pytest.raises(ReadmeTooLong) as refusal:
        services.describe_model(model, engineer, readme="x" * 50_001)
    assert (refusal.value.code, refusal.value.field) == ("model.readme_too_long", "readme")
    assert "50,001 characters" in refusal.value.message


def test_viewers_and_strangers_change_nothing(
    model: RegisteredModel, version: ModelVersion, viewer: User, stranger: User, onnx_bytes: bytes
):
    for person in (viewer, stranger):
        for attempt in (
            lambda person=person: services.register_model(model.team, person, "x"),
            lambda person=person: services.describe_model(model, person, name="x"),
            lambda person=person: services.describe_model(model, person, readme="x"),
            lambda person=person: services.delete_model(model, person),
            lambda person=person: services.add_version(model, person, file=upload_of(onnx_bytes)),
            lambda person=person: services.describe_version(version, person, description="x"),
            lambda person=person: services.delete_version(version, person),
        ):
            with pytest.raises(PermissionDenied):
                attempt()


def test_what_postgresql_cannot_keep_is_left_out_of_a_description(version: ModelVersion, engineer: User):
    assert services.describe_version(version, engineer, description=" Retrained\x00 ").description == "Retrained"


def test_search_and_tags_find_models(model: RegisteredModel, team: Team, engineer: User):
    services.register_model(team, engineer, "Speech", "Small words", ["audio"])
    found = RegisteredModel.objects.all()
    assert [row.name for row in found.search("small one")] == ["Fashion classifier"]
    assert [row.name for row in found.tagged("audio")] == ["Speech"]
    assert found.all_tags() == ["audio", "cnn", "vision"]


def test_a_new_version_is_pending_and_a_worker_is_asked_once_it_is_written(
    model: RegisteredModel, engineer: User, onnx_bytes: bytes, sent, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        version = services.add_version(model, engineer, file=upload_of(onnx_bytes, "dir/net.onnx"), description=" d ")
        assert sent == []
    assert sent == [version.pk]
    assert (version.number, version.status, version.filename) == (1, InspectionStatus.PENDING, "net.onnx")
    assert (version.description, version.created_by) == ("d", engineer)


def test_what_a_plain_file_says_of_itself_is_known_at_once(model: RegisteredModel, engineer: User, onnx_bytes: bytes):
    version = services.add_version(model, engineer, file=upload_of(onnx_bytes))
    found = metadata_of(version)
    assert found["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["N", 4], "quantized": None}]
    assert (found["opset"], found["parameters"], found["operators"]) == (17, 12, {"MatMul": 1})
    assert found["size_bytes"] == len(onnx_bytes)


def test_numbers_go_on_after_a_version_was_deleted_in_between(
    make_version: Callable[..., ModelVersion], engineer: User
):
    first, second, third = (make_version(size) for size in (2, 3, 4))
    services.delete_version(second, engineer)
    assert [first.number, third.number, make_version(5).number] == [1, 3, 4]


def test_a_version_can_come_from_a_finished_upload_which_is_then_used_up(
    model: RegisteredModel, engineer: User, onnx_bytes: bytes
):
    upload = services.begin_upload(model.team, engineer, "net.onnx", len(onnx_bytes))
    services.append_chunk(upload, 0, upload_of(onnx_bytes).file)
    version = services.add_version(model, engineer, upload=upload)
    assert (version.filename, version.blob.size_bytes) == ("net.onnx", len(onnx_bytes))
    assert not Upload.objects.exists()


def test_an_upload_of_another_team_cannot_be_used(
    model: RegisteredModel, engineer: User, other_team: Team, stranger: User
):
    upload = services.begin_upload(other_team, stranger, "net.onnx", 5)
    with pytest.raises(UploadUnknown) as refusal:
        services.add_version(model, engineer, upload=upload)
    assert refusal.value.code == "upload.unknown"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"GGUF\x03\x00\x00\x00", "a GGUF file"),
        (b"%PDF-1.7 ...", "a PDF document"),
        (b"<!doctype html><html></html>", "an HTML page"),
        (b"PK\x05\x06" + b"\x00" * 18, "a zip archive"),
    ],
)
def test_a_wrong_type_is_refused_at_once_by_its_content(
    model: RegisteredModel, engineer: User, data: bytes, found: str
):
    with pytest.raises(ModelWrongType) as refusal:
        services.add_version(model, engineer, file=upload_of(data, "model.onnx"))
    assert refusal.value.code == "model.wrong_type"
    assert found in refusal.value.message
    assert not ModelVersion.objects.exists()


def test_a_truncated_model_is_refused_at_once(model: RegisteredModel, engineer: User, onnx_bytes: bytes):
    with pytest.raises((ModelTruncated, ModelMalformed)):
        services.add_version(model, engineer, file=upload_of(onnx_bytes[:-20]))
    assert not ModelVersion.objects.exists()


def test_a_file_over_the_limit_is_refused(model: RegisteredModel, engineer: User, onnx_bytes: bytes):
    StoreSettings.current()
    StoreSettings.objects.update(max_upload_bytes=10)
    with pytest.raises(UploadTooLarge) as refusal:
        services.add_version(model, engineer, file=upload_of(onnx_bytes))
    assert refusal.value.status == 413
    assert not Blob.objects.exists()


def test_no_file_is_said_so(model: RegisteredModel, engineer: User):
    with pytest.raises(FileNotGiven) as refusal:
        services.add_version(model, engineer)
    assert refusal.value.code == "upload.no_file"


def test_a_parent_must_be_of_the_same_model(team: Team, version: ModelVersion, engineer: User, onnx_bytes: bytes):
    other = services.register_model(team, engineer, "Other")
    with pytest.raises(VersionElsewhere) as refusal:
        services.add_version(other, engineer, file=upload_of(onnx_bytes), parent=version)
    assert refusal.value.code == "version.other_model"


def test_a_version_that_an_alias_points_at_cannot_be_deleted(version: ModelVersion, engineer: User):
    services.move_alias(version.model, "production", version, engineer)
    with pytest.raises(VersionInUse) as refusal:
        services.delete_version(version, engineer)
    assert refusal.value.code == "version.in_use"
    assert "production" in refusal.value.message


def test_a_model_goes_with_its_versions_and_aliases(version: ModelVersion, engineer: User):
    services.move_alias(version.model, "production", version, engineer)
    services.delete_model(version.model, engineer)
    assert not ModelVersion.objects.exists()


def test_a_refused_version_can_be_deleted(make_version: Callable[..., ModelVersion], engineer: User):
    version = make_version(status=InspectionStatus.REFUSED)
    services.delete_version(version, engineer)
    assert not ModelVersion.objects.exists()


def test_what_a_session_made_is_ready_at_once_and_adopted_once(version: ModelVersion):
    blob, session = put_stream([linear_model(classes=9)]), uuid4()
    arguments = {
        "blob": blob,
        "filename": "int8.onnx",
        "parent": version,
        "source_session": session,
        "source_step": "o1",
    }
    made = services.adopt_artifact(version.model, **arguments)
    assert services.adopt_artifact(version.model, **arguments) == made
    assert (made.number, made.status, made.parent) == (2, InspectionStatus.READY, version)
    assert (made.source_session, made.source_step) == (session, "o1")
    assert metadata_of(made)["parameters"] == 36


def test_an_archive_that_a_session_has_measured_is_ready_at_once(
    version: ModelVersion, engineer: User, sent: list[int]
):
    summary = version.metadata.summary.model_copy(update={"format": "transformers", "quantization": "gptq"})
    made = services.adopt_artifact(
        version.model,
        blob=put_stream([archives.archive(*archives.TRANSFORMERS)]),
        filename="llama",
        parent=version,
        source_session=uuid4(),
        source_step="c01/optimize",
        summary=summary,
    )
    assert made.ready
    assert made.metadata.summary == summary
    assert download_name(made) == "llama.zip"
    services.move_alias(version.model, "production", made, engineer)


def test_the_first_answer_of_a_check_counts(make_version: Callable[..., ModelVersion]):
    version = make_version(status=InspectionStatus.PENDING)
    late = ModelVersion.objects.get(pk=version.pk)
    version.refuse("model.malformed", "No.")
    late.accept()
    assert late.refused
    assert (late.refusal_code, late.refusal) == ("model.malformed", "No.")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\models\\net.onnx", "net.onnx"),
        ('a"b\r\n.onnx', "ab.onnx"),
        ("...", "file"),
        ("x" * 300 + ".onnx", "x" * 250 + ".onnx"),
    ],
)
def test_filenames_are_made_harmless(given: str, kept: str):
    assert intake.safe_filename(given) == kept
