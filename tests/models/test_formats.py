"""Every format comes in by its content, is checked by its own inspector, and goes out under its own name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.agents.contracts.errors.models import ModelWrongType
from apps.agents.contracts.formats import FORMATS, Format
from apps.agents.contracts.job import JobResult
from apps.agents.contracts.reports.model import MOST_WEIGHTS, CodeFile, LanguageModel, ModelSummary, TensorSpec
from apps.models import inspection, services
from apps.models.download import download_name
from apps.models.inspection import inspect_version
from apps.models.intake import format_in
from apps.models.models import ModelMetadata, ModelVersion, RegisteredModel
from apps.models.storage import put_stream
from tests.models import archives
from tests.models.conftest import linear_model, metadata_of, upload_of

pytestmark = [pytest.mark.django_db, pytest.mark.portable]

FILES = {
    Format.ONNX: linear_model(),
    Format.TORCH_EXPORT: archives.archive(*archives.EXPORTED),
    Format.TORCHSCRIPT: archives.archive(*archives.TORCHSCRIPT),
    Format.TRANSFORMERS: archives.archive(*archives.TRANSFORMERS),
    Format.STATE_DICT: archives.archive(*archives.DESCRIBED),
    Format.KERAS: archives.archive("config.json", "metadata.json", "model.weights.h5"),
    Format.KERAS_H5: b"\x89HDF\r\n\x1a\n" + bytes(64),
    Format.SAVED_MODEL: archives.archive("net/saved_model.pb", "net/variables/variables.index"),
    Format.TFLITE: b"\x1c\x00\x00\x00TFL3" + bytes(64),
}
SUMMARY = ModelSummary(
    format="transformers",
    producer="LlamaForCausalLM",
    opset=None,
    inputs=(TensorSpec(name="input_ids", dtype="int64", shape=("batch", "sequence")),),
    outputs=(TensorSpec(name="logits", dtype="float32", shape=("batch", "sequence", 32000)),),
    parameters=15_200_000,
    size_bytes=60_800_000,
    operators={"Linear": 42, "Embedding": 1},
    weight_dtypes={"float32": 15_200_000},
    weights=(TensorSpec(name="model.embed_tokens.weight", dtype="float32", shape=(32000, 288)),),
    language=LanguageModel(
        architecture="LlamaForCausalLM",
        generative=True,
        context_length=2048,
        vocabulary=32000,
        tied_embeddings=True,
        embedding_parameters=9_216_000,
        tokenizer=True,
    ),
    quantization="bitsandbytes nf4",
    code=(CodeFile(name="net/build.py", text="def build():\n    return '<b>' & 1\n"),),
)


def test_there_is_a_file_for_every_format() -> None:
    assert set(FILES) == set(Format)


@pytest.mark.parametrize("which", Format)
def test_a_file_is_taken_by_its_content_whatever_its_name(
    model: RegisteredModel, engineer: User, which: Format
) -> None:
    version = services.add_version(model, engineer, file=upload_of(FILES[which], "model"))
    assert version.pending
    assert format_in(version.blob) is which


def test_what_is_refused_hears_of_every_format(model: RegisteredModel, engineer: User) -> None:
    with pytest.raises(ModelWrongType) as refusal:
        services.add_version(model, engineer, file=upload_of(b"%PDF-1.7"))
    for words in ("ONNX", ".pt2", "TorchScript", "transformers", "lathe.toml", ".keras", "SavedModel", ".tflite"):
        assert words in refusal.value.message


@pytest.mark.parametrize("which", Format)
def test_the_inspector_of_its_format_checks_it(
    model: RegisteredModel, engineer: User, which: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def run(job: Any, **_: Any) -> JobResult:
        asked.append(job.arguments)
        return JobResult(body=SUMMARY.model_copy(update={"format": which.value}).model_dump(mode="json"))

    monkeypatch.setattr(inspection, "run_job", run)
    version = services.add_version(model, engineer, file=upload_of(FILES[which], "model"))
    inspect_version(version.pk)
    assert [arguments["format"] for arguments in asked] == [which]
    version.refresh_from_db()
    assert version.ready
    assert metadata_of(version)["format"] == which


def test_bytes_that_are_no_model_any_more_are_refused_by_the_worker_too(version: ModelVersion) -> None:
    ModelVersion.objects.update(status="pending", blob=put_stream([b"%PDF-1.7"]))
    inspect_version(version.pk)
    version.refresh_from_db()
    assert version.refusal_code == "model.wrong_type"


def test_a_summary_comes_back_as_it_was(version: ModelVersion) -> None:
    assert ModelMetadata.record(version, SUMMARY).summary == SUMMARY
    assert ModelMetadata.objects.get(version=version).summary == SUMMARY


def test_what_no_database_keeps_is_replaced(version: ModelVersion) -> None:
    code = (CodeFile(name="a.py", text="x = '\x00\ud800'"),)
    weights = (TensorSpec(name="w\x00", dtype="float32", shape=(1,)),)
    ModelMetadata.record(version, SUMMARY.model_copy(update={"code": code, "weights": weights}))
    kept = ModelMetadata.objects.get(version=version).summary
    assert (kept.code[0].text, kept.weights[0].name) == ("x = '��'", "w�")


@pytest.mark.parametrize(
    ("which", "given", "name"),
    [
        (Format.ONNX, "net.onnx", "net.onnx"),
        (Format.ONNX, "net.zip", "net.zip"),
        (Format.ONNX, "resnet-1.5", "resnet-1.5.onnx"),
        (Format.TORCH_EXPORT, "net.pt", "net.pt2"),
        (Format.TORCHSCRIPT, "net.PTH", "net.PTH"),
        (Format.TRANSFORMERS, "llama", "llama.zip"),
        (Format.STATE_DICT, "weights.safetensors", "weights.zip"),
    ],
)
def test_a_download_ends_as_files_of_its_format_do(version: ModelVersion, which: Format, given: str, name: str) -> None:
    ModelMetadata.record(version, SUMMARY.model_copy(update={"format": which.value}))
    ModelVersion.objects.update(filename=given)
    assert download_name(ModelVersion.objects.get(pk=version.pk)) == name


def test_a_download_that_was_not_checked_keeps_its_name(model: RegisteredModel, engineer: User) -> None:
    version = services.add_version(model, engineer, file=upload_of(FILES[Format.TRANSFORMERS], "llama"))
    assert download_name(version) == "llama"


class TestTheVersionsPage:
    @pytest.fixture
    def page(self, version: ModelVersion, browse: Callable[[User], Client], viewer: User) -> Callable[..., str]:
        def shown(**changed: Any) -> str:
            ModelMetadata.record(version, SUMMARY.model_copy(update=changed))
            return browse(viewer).get(version.get_absolute_url()).content.decode()

        return shown

    def test_it_says_what_the_model_is(self, page: Callable[..., str]) -> None:
        html = page()
        for words in ("transformers folder", "LlamaForCausalLM", "predicts the next token", "2,048", "32,000"):
            assert words in html
        for words in (
            "tied",
            "included with the model",
            "bitsandbytes nf4",
            "model.embed_tokens.weight",
            "32000 × 288",
        ):
            assert words in html

    @pytest.mark.parametrize("which", Format)
    def test_every_format_has_its_words(self, page: Callable[..., str], which: Format) -> None:
        assert FORMATS[which].label in page(format=which.value, language=None, code=(), quantization=None)

    def test_a_model_that_reads_no_texts_says_nothing_of_them(self, page: Callable[..., str]) -> None:
        html = page(format="onnx", language=None, code=(), quantization=None)
        for words in ("Tokenizer", "Embeddings", "Quantization", "Included code"):
            assert words not in html

    def test_its_code_is_shown_as_text_with_where_it_runs(self, page: Callable[..., str]) -> None:
        html = page()
        assert "    return &#x27;&lt;b&gt;&#x27; &amp; 1" in html
        assert "<b>" not in html
        assert "only in a worker's child process" in html
        assert 'tabindex="0" role="region" aria-label="net/build.py"' in html

    def test_layers_that_only_the_code_knows_are_not_counted_as_none(self, page: Callable[..., str]) -> None:
        assert "Only the model's own code defines its layers" in page(format="state-dict", operators={})

    def test_marks_that_make_code_read_otherwise_than_it_runs_are_written_out(self, page: Callable[..., str]) -> None:
        html = page(code=(CodeFile(name="a.py", text="safe = True  # \u202e eurt"),))
        assert "\u202e" not in html
        assert "&lt;U+202E&gt;" in html

    def test_a_long_list_of_weights_says_where_it_ends(self, page: Callable[..., str]) -> None:
        many = tuple(TensorSpec(name=f"w{index}", dtype="float32", shape=(1,)) for index in range(MOST_WEIGHTS))
        assert f"ends after {MOST_WEIGHTS:,} tensors" in page(weights=many)

    @pytest.mark.parametrize(
        ("which", "drawn"), [("onnx", True), ("torch-export", True), ("torchscript", True), ("transformers", False)]
    )
    def test_a_graph_is_offered_where_there_is_one(
        self, version: ModelVersion, browse: Callable[[User], Client], viewer: User, which: str, drawn: bool
    ) -> None:
        ModelMetadata.record(version, SUMMARY.model_copy(update={"format": which}))
        address = version.get_absolute_url()
        client = browse(viewer)
        assert (f'href="{address}graph/"' in client.get(address).content.decode()) is drawn
        graph = client.get(f"{address}graph/").content.decode()
        assert ("<iframe" in graph) is drawn
        assert ("No graph to draw" in graph) is not drawn

    def test_a_file_that_was_not_checked_has_no_graph_yet(
        self, model: RegisteredModel, engineer: User, browse: Callable[[User], Client]
    ) -> None:
        version = services.add_version(model, engineer, file=upload_of(FILES[Format.TRANSFORMERS], "llama.zip"))
        page = browse(engineer).get(f"{version.get_absolute_url()}graph/").content.decode()
        assert "after the file passes its checks" in page
        assert "<iframe" not in page


class TestTheApi:
    def test_one_version_brings_all_that_is_known(
        self, version: ModelVersion, api: Callable[[User], APIClient], viewer: User
    ) -> None:
        ModelMetadata.record(version, SUMMARY)
        found = api(viewer).get(f"/api/v1/versions/{version.pk}/").data["metadata"]
        assert found["format_label"] == "transformers folder"
        assert ModelSummary.model_validate({name: found[name] for name in ModelSummary.model_fields}) == SUMMARY

    def test_a_list_leaves_out_what_is_long(
        self, version: ModelVersion, api: Callable[[User], APIClient], viewer: User, django_assert_max_num_queries: Any
    ) -> None:
        ModelMetadata.record(version, SUMMARY)
        with django_assert_max_num_queries(6) as queries:
            found = api(viewer).get("/api/v1/versions/").data["results"][0]["metadata"]
        assert found["language"]["context_length"] == 2048
        assert not {"weights", "code"} & set(found)
        assert not [query for query in queries.captured_queries if '"weights"' in query["sql"]]
