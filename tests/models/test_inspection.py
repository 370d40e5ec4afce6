"""Checking files in a child process: ready, refused, or tried again."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import dramatiq
import pytest
from django.conf import settings

from apps.accounts.models import Team, User
from apps.agents.contracts.errors.steps import StepKilled, StepOutOfMemory
from apps.agents.contracts.job import JobFailure, JobResult
from apps.agents.sandbox.process import JobFailed
from apps.models import inspection, services
from apps.models.inspection import TryAgain, give_up_on_dataset, give_up_on_version, inspect_dataset, inspect_version
from apps.models.models import DataSet, InspectionStatus, ModelVersion, RegisteredModel
from tests.models import archives
from tests.models.conftest import linear_model, metadata_of, npz, upload_of

pytestmark = [pytest.mark.django_db, pytest.mark.portable]

FOUND = {
    "format": "onnx",
    "producer": "x" * 200,
    "opset": 17,
    "inputs": [{"name": "x", "dtype": "float32", "shape": ["N", 4]}],
    "outputs": [{"name": "scores", "dtype": "float32", "shape": ["N", 3]}],
    "parameters": 12,
    "size_bytes": 300,
    "operators": {"MatMul": 1},
}


@pytest.fixture
def pending(make_version: Callable[..., ModelVersion]) -> ModelVersion:
    return make_version(status=InspectionStatus.PENDING)


@pytest.fixture
def child(monkeypatch) -> Callable[..., None]:
    """Puts an answer in place of the child process."""

    def answers(result: dict[str, Any] | None = None, failure: JobFailure | None = None) -> None:
        def run(job: Any, **_: Any) -> JobResult:
            if failure is not None:
                raise JobFailed(failure)
            return JobResult(body=dict(result or {}))

        monkeypatch.setattr(inspection, "run_job", run)

    return answers


def failed(code: str, *, expected: bool, transient: bool = False) -> JobFailure:
    return JobFailure(code=code, message="A sentence.", expected=expected, transient=transient, traceback="T")


def scratch_folders() -> list[Path]:
    return list((Path(settings.LATHE.var_dir) / "scratch").glob("inspect-*"))


def test_a_version_that_passes_is_ready_with_what_was_found(pending: ModelVersion, child):
    child(FOUND)
    inspect_version(pending.pk)
    pending.refresh_from_db()
    assert pending.ready
    assert metadata_of(pending)["size_bytes"] == 300
    assert len(metadata_of(pending)["producer"]) == 120


def test_a_refusal_keeps_its_code_and_sentence(pending: ModelVersion, child):
    child(failure=failed("model.empty_graph", expected=True))
    inspect_version(pending.pk)
    pending.refresh_from_db()
    assert (pending.status, pending.refusal_code, pending.refusal) == ("refused", "model.empty_graph", "A sentence.")


def test_a_refusal_calls_the_file_as_its_member_does(pending: ModelVersion, child):
    sentence = f"'{pending.blob_id}' is a pickle."
    child(failure=failed("model.pickle_refused", expected=True).model_copy(update={"message": sentence}))
    inspect_version(pending.pk)
    pending.refresh_from_db()
    assert pending.refusal == "'model.onnx' is a pickle."


def test_our_own_bug_is_logged_and_not_blamed_on_the_file(pending: ModelVersion, child, caplog):
    child(failure=failed("step.error", expected=False))
    inspect_version(pending.pk)
    pending.refresh_from_db()
    assert pending.refusal_code == "model.inspection_failed"
    assert "T" in caplog.text


def test_a_child_that_was_killed_is_tried_again(pending: ModelVersion, child):
    child(failure=failed(StepKilled.code, expected=True, transient=True))
    with pytest.raises(TryAgain):
        inspect_version(pending.pk)
    pending.refresh_from_db()
    assert pending.pending
    give_up_on_version(pending.pk)
    pending.refresh_from_db()
    assert pending.refusal_code == "model.inspection_failed"


def test_a_file_that_needs_too_much_memory_is_refused(pending: ModelVersion, child):
    child(failure=failed(StepOutOfMemory.code, expected=True, transient=True))
    inspect_version(pending.pk)
    pending.refresh_from_db()
    assert pending.refusal_code == StepOutOfMemory.code


def test_a_version_that_has_its_answer_is_not_checked_again(version: ModelVersion, child):
    child(failure=failed("model.malformed", expected=True))
    inspect_version(version.pk)
    give_up_on_version(version.pk)
    version.refresh_from_db()
    assert version.ready


def test_a_version_that_was_deleted_meanwhile_is_no_trouble(child):
    inspect_version(12345)
    inspect_dataset(12345)


def test_a_data_set_is_ready_with_its_summary(dataset: DataSet, child):
    summary = {"kind": "npz", "task": "classification", "examples": 40, "inputs": []}
    child({**summary, "class_counts": {"0": 40}, "notes": ["All examples belong to one class."]})
    inspect_dataset(dataset.pk)
    dataset.refresh_from_db()
    assert dataset.ready
    assert dataset.described.examples == 40
    assert dataset.described.class_counts == {"0": 40}


def test_a_data_set_that_could_not_be_checked_says_so(dataset: DataSet, child):
    child(failure=failed("step.error", expected=False))
    inspect_dataset(dataset.pk)
    dataset.refresh_from_db()
    assert dataset.refusal_code == "dataset.inspection_failed"
    give_up_on_dataset(dataset.pk)


def test_folders_of_dead_workers_are_removed(pending: ModelVersion, tmp_path: Path, monkeypatch):
    place = tmp_path / "scratch"
    monkeypatch.setattr(inspection, "_scratch_parent", lambda: place)
    assert pending.take_check(timedelta(seconds=30))
    alive, foreign = f"inspect-{pending.check_claim.hex}", "step-1-ab"
    for name in (alive, foreign, "inspect-old", f"inspect-{uuid4().hex}"):
        (place / name).mkdir(parents=True)
    assert inspection.remove_abandoned_scratch() == 2
    assert {path.name for path in place.iterdir()} == {alive, foreign}


def test_actors_set_their_own_limits_and_give_up_in_the_end():
    from apps.models import actors

    for actor in (actors.inspect_version, actors.inspect_dataset):
        assert actor.queue_name == "checks"
        assert actor.options["max_retries"] == 3
        assert actor.options["time_limit"] > inspection.TIME_LIMIT_S * 1000
        assert dramatiq.get_broker().get_actor(actor.options["on_retry_exhausted"])


@pytest.mark.children
class TestInAChild:
    """With the real child process."""

    def test_a_sound_model_is_ready(self, pending: ModelVersion):
        inspect_version(pending.pk)
        pending.refresh_from_db()
        assert pending.ready, pending.refusal
        assert metadata_of(pending)["inputs"][0]["name"] == "x"
        assert scratch_folders() == []

    def test_a_zip_gets_its_metadata_from_the_child(self, model: RegisteredModel, engineer: User, onnx_bytes: bytes):
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w") as archive:
            archive.writestr("net/model.onnx", onnx_bytes)
        version = services.add_version(model, engineer, file=upload_of(sink.getvalue(), "net.zip"))
        assert not hasattr(version, "metadata")
        inspect_version(version.pk)
        version.refresh_from_db()
        assert version.ready, version.refusal
        assert metadata_of(version)["operators"] == {"MatMul": 1}

    def test_a_transformers_folder_is_ready_with_what_it_is(self, model: RegisteredModel, engineer: User):
        version = services.add_version(model, engineer, file=upload_of(archives.llama(), "llama.zip"))
        inspect_version(version.pk)
        version.refresh_from_db()
        assert version.ready, version.refusal
        found = version.metadata.summary
        assert (found.format, found.parameters, found.operators["Embedding"]) == ("transformers", 792, 1)
        assert found.language is not None
        assert (found.language.context_length, found.language.vocabulary) == (64, 16)
        assert (found.language.tied_embeddings, found.language.tokenizer) == (True, False)
        assert "model.embed_tokens.weight: float32[16, 8]" in map(str, found.weights)

    def test_an_archive_that_escapes_is_refused(self, model: RegisteredModel, engineer: User, tmp_path: Path):
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w") as archive:
            archive.writestr("../model.onnx", linear_model())
        version = services.add_version(model, engineer, file=upload_of(sink.getvalue(), "net.zip"))
        inspect_version(version.pk)
        version.refresh_from_db()
        assert version.refusal_code == "archive.path_escape"

    def test_a_sound_data_set_is_ready(self, dataset: DataSet):
        inspect_dataset(dataset.pk)
        dataset.refresh_from_db()
        assert dataset.ready, dataset.refusal
        assert dataset.described.examples == 40
        assert sum(dataset.described.class_counts.values()) == 40

    def test_too_few_examples_are_refused(self, team: Team, engineer: User):
        data = npz({"x": ("<f4", (3, 4)), "y": ("<i8", (3,))})
        spec = {"kind": "npz", "task": "classification"}
        dataset = services.add_dataset(team, engineer, "Small", spec, file=upload_of(data, "small.npz"))
        inspect_dataset(dataset.pk)
        dataset.refresh_from_db()
        assert dataset.refusal_code == "dataset.too_few_examples"
