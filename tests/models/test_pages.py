"""The store's pages: what members see, do, and are told."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.models import services
from apps.models.models import Alias, DataSet, InspectionStatus, ModelVersion, RegisteredModel
from tests.models.conftest import npz, upload_of

pytestmark = pytest.mark.django_db

Browse = Callable[[User], Client]


def text_of(response) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


class TestModelList:
    def test_an_empty_list_says_what_to_do_next(self, browse: Browse, engineer: User):
        page = text_of(browse(engineer).get("/models/"))
        assert "No models yet" in page
        assert "Upload the first one" in page

    def test_an_empty_list_offers_a_viewer_nothing_to_click(self, browse: Browse, viewer: User):
        response = browse(viewer).get("/models/")
        assert "An engineer or an owner of the team can upload one" in text_of(response)
        assert reverse("models:model-upload") not in response.content.decode()

    def test_somebody_outside_any_team_is_told_to_ask(self, browse: Browse, db):
        nobody = User.objects.create_user("nina@example.org", "x")
        assert "not a member of any team" in text_of(browse(nobody).get("/models/"))
        assert browse(nobody).get("/models/upload/").status_code == 403

    def test_models_are_listed_with_their_newest_version(
        self, browse: Browse, viewer: User, make_version: Callable[..., ModelVersion], engineer: User
    ):
        make_version(2)
        version = make_version(3)
        services.move_alias(version.model, "production", version, engineer)
        page = text_of(browse(viewer).get("/models/"))
        for words in ("Fashion classifier", "v2", "Ready", "production → v2", "vision"):
            assert words in page

    def test_search_and_tag_narrow_the_list(self, browse: Browse, model: RegisteredModel, team: Team, engineer: User):
        services.register_model(team, engineer, "Speech", tags=["audio"])
        client = browse(engineer)
        assert "Speech" not in text_of(client.get("/models/?search=fashion")).split("Aliases")[-1]
        assert "Fashion" not in text_of(client.get("/models/?tag=audio")).split("Aliases")[-1]
        assert "No model matches" in text_of(client.get("/models/?search=nothing"))
        assert "Fashion" in text_of(client.get("/models/?search=%00fashion%00"))

    def test_htmx_gets_the_results_alone(self, browse: Browse, model: RegisteredModel, viewer: User):
        response = browse(viewer).get("/models/", headers={"HX-Request": "true"})
        html = response.content.decode()
        assert html.lstrip().startswith('<div id="model-results"')
        assert "<html" not in html

    def test_long_lists_have_pages_that_keep_the_search(self, browse: Browse, team: Team, engineer: User):
        RegisteredModel.objects.bulk_create(RegisteredModel(team=team, name=f"model {n:03}") for n in range(30))
        html = browse(engineer).get("/models/?search=model&page=2").content.decode()
        assert "page 2 of 2" in html
        assert "search=model" in html.split('rel="prev"')[1][:80]


class TestModelUpload:
    def test_the_form_works_without_a_script(self, browse: Browse, engineer: User, onnx_bytes: bytes):
        answers = {"name": "Net", "tags": "a, b", "description": "text", "file": upload_of(onnx_bytes, "net.onnx")}
        response = browse(engineer).post("/models/upload/", answers)
        version = ModelVersion.objects.get()
        assert response.url == version.get_absolute_url()
        assert (version.model.name, version.model.tags, version.filename) == ("Net", ["a", "b"], "net.onnx")

    def test_the_form_takes_an_upload_that_a_script_made(self, browse: Browse, team: Team, engineer: User, onnx_bytes):
        upload = services.begin_upload(team, engineer, "net.onnx", len(onnx_bytes))
        services.append_chunk(upload, 0, BytesIO(onnx_bytes))
        browse(engineer).post("/models/upload/", {"name": "Net", "upload": str(upload.pk)})
        assert ModelVersion.objects.get().filename == "net.onnx"

    def test_a_form_that_comes_back_keeps_the_upload(self, browse: Browse, team: Team, engineer: User, onnx_bytes):
        upload = services.begin_upload(team, engineer, "net.onnx", len(onnx_bytes))
        services.append_chunk(upload, 0, BytesIO(onnx_bytes))
        response = browse(engineer).post("/models/upload/", {"name": "", "upload": str(upload.pk)})
        assert response.status_code == 422
        assert "net.onnx is uploaded" in text_of(response)
        assert str(upload.pk) in response.content.decode()

    def test_an_upload_of_somebody_else_is_gone(self, browse: Browse, team: Team, owner: User, engineer: User):
        upload = services.begin_upload(team, owner, "net.onnx", 5)
        response = browse(engineer).post("/models/upload/", {"name": "Net", "upload": str(upload.pk)})
        assert "The upload no longer exists" in text_of(response)

    def test_a_new_version_of_a_model(self, browse: Browse, version: ModelVersion, engineer: User, onnx_bytes: bytes):
        client = browse(engineer)
        page = client.get(f"/models/upload/?model={version.model.pk}").content.decode()
        assert f'<option value="{version.model.pk}" selected>' in page
        client.post("/models/upload/", {"model": version.model.pk, "description": "v2", "file": upload_of(onnx_bytes)})
        assert version.model.versions.get(number=2).description == "v2"

    def test_a_refused_file_leaves_no_model_behind(self, browse: Browse, engineer: User):
        response = browse(engineer).post("/models/upload/", {"name": "Net", "file": upload_of(b"%PDF-1.7")})
        assert response.status_code == 422
        assert "this file is a PDF document" in text_of(response)
        assert not RegisteredModel.objects.exists()

    def test_a_missing_file_is_said_beside_the_field(self, browse: Browse, engineer: User):
        response = browse(engineer).post("/models/upload/", {"name": "Net"})
        assert "No file was given" in response.content.decode().split('class="error"')[1]
        assert not RegisteredModel.objects.exists()

    def test_a_model_of_another_team_cannot_be_added_to(self, browse: Browse, model: RegisteredModel, stranger: User):
        response = browse(stranger).post("/models/upload/", {"model": model.pk, "file": upload_of(b"x")})
        assert response.status_code == 422
        assert not ModelVersion.objects.exists()


class TestModelDetail:
    def test_it_shows_versions_aliases_and_lineage(
        self, browse: Browse, make_version: Callable[..., ModelVersion], viewer: User, engineer: User
    ):
        first = make_version(2)
        second = make_version(3, parent=first)
        services.move_alias(first.model, "production", first, engineer, "It is good")
        response = browse(viewer).get(first.model.get_absolute_url())
        for words in ("v1", "v2", "production", "It is good", "Lineage"):
            assert words in text_of(response)
        assert response.context["lineage"][0].children[0].version == second

    def test_a_viewer_sees_no_button_that_would_be_refused(self, browse: Browse, version: ModelVersion, viewer: User):
        html = (
            browse(viewer).get(version.model.get_absolute_url()).content.decode().split("<main")[1].split("</main>")[0]
        )
        assert 'method="post"' not in html

    def test_a_model_without_versions_says_what_to_do(self, browse: Browse, model: RegisteredModel, engineer: User):
        assert "No versions yet" in text_of(browse(engineer).get(model.get_absolute_url()))

    def test_changes_are_saved_and_mistakes_come_back(
        self, browse: Browse, model: RegisteredModel, team: Team, engineer: User
    ):
        client, url = browse(engineer), reverse("models:model-describe", args=[model.pk])
        services.register_model(team, engineer, "Taken")
        client.post(url, {"name": "Renamed", "tags": "x", "description": ""})
        model.refresh_from_db()
        assert (model.name, model.tags) == ("Renamed", ["x"])
        for name, sentence in (("Taken", "has a model called"), ("", "This field is required")):
            assert sentence in text_of(client.post(url, {"name": name}))

    def test_aliases_move_and_move_back(
        self, browse: Browse, make_version: Callable[..., ModelVersion], engineer: User
    ):
        first, second = make_version(2), make_version(3)
        client, url = browse(engineer), reverse("models:alias-move", args=[first.model.pk])
        for version in (first, second):
            client.post(url, {"alias": "production", "version": version.pk, "reason": "because"})
        assert Alias.objects.get().version == second
        undo = reverse("models:alias-undo", args=[first.model.pk, "production"])
        client.post(undo)
        assert Alias.objects.get().version == first
        assert "no move left" in text_of(client.post(undo, follow=True))

    def test_a_move_that_is_refused_says_why(self, browse: Browse, make_version, engineer: User):
        version = make_version(status=InspectionStatus.REFUSED)
        url = reverse("models:alias-move", args=[version.model.pk])
        response = browse(engineer).post(url, {"alias": "production", "version": version.pk})
        assert response.status_code == 409
        assert "passed its checks" in text_of(response)
        assert browse(engineer).post(url, {"alias": "", "version": version.pk}).status_code == 422

    def test_deleting_takes_the_model_away(self, browse: Browse, version: ModelVersion, engineer: User):
        response = browse(engineer).post(reverse("models:model-delete", args=[version.model.pk]))
        assert response.url == "/models/"
        assert not RegisteredModel.objects.exists()


class TestVersionDetail:
    def test_it_shows_what_the_file_says(self, browse: Browse, version: ModelVersion, viewer: User):
        page = text_of(browse(viewer).get(version.get_absolute_url()))
        for words in ("x: float32[N, 4]", "scores: float32[N, 3]", "MatMul × 1", version.blob_id, "opset 17"):
            assert words in page

    def test_it_asks_again_only_while_the_file_is_checked(self, browse: Browse, make_version, viewer: User):
        version = make_version(status=InspectionStatus.PENDING)
        client = browse(viewer)
        url = reverse("models:version-status", args=[version.model.pk, version.number])
        assert f'hx-get="{url}" hx-trigger="every 2s"' in client.get(version.get_absolute_url()).content.decode()
        fragment = client.get(url).content.decode()
        assert fragment.lstrip().startswith('<section class="card" id="version-state"')
        version.accept()
        assert "hx-trigger" not in client.get(url).content.decode()

    def test_a_refusal_shows_its_sentence_its_code_and_the_way_on(self, browse: Browse, make_version, engineer: User):
        version = make_version(status=InspectionStatus.PENDING)
        version.refuse("model.empty_graph", "The model's graph has no nodes.")
        page = text_of(browse(engineer).get(version.get_absolute_url()))
        for words in ("has no nodes", "model.empty_graph", "Fix the file"):
            assert words in page

    def test_a_ready_version_can_be_optimized(self, browse: Browse, version: ModelVersion, engineer: User):
        html = browse(engineer).get(version.get_absolute_url()).content.decode()
        assert f"{reverse('optimization:session-new')}?version={version.pk}" in html

    def test_it_can_be_described_and_deleted(self, browse: Browse, version: ModelVersion, engineer: User):
        client, where = browse(engineer), [version.model.pk, version.number]
        client.post(reverse("models:version-describe", args=where), {"description": "better"})
        version.refresh_from_db()
        assert version.description == "better"
        services.move_alias(version.model, "production", version, engineer)
        url = reverse("models:version-delete", args=where)
        assert "is still in use" in text_of(client.post(url, follow=True))
        Alias.objects.all().delete()
        client.post(url)
        assert not ModelVersion.objects.exists()


class TestDataSets:
    def test_an_empty_list_says_what_to_do_next(self, browse: Browse, engineer: User):
        assert "No data sets yet" in text_of(browse(engineer).get("/datasets/"))

    def test_the_list_can_be_searched(self, browse: Browse, dataset: DataSet, viewer: User):
        client = browse(viewer)
        assert "Test images" in text_of(client.get("/datasets/", headers={"HX-Request": "true"}))
        assert "No data set matches" in text_of(client.get("/datasets/?search=nothing"))

    def test_the_form_makes_a_spec(self, browse: Browse, engineer: User, npz_bytes: bytes):
        answers = {
            "name": "Set",
            "kind": "npz",
            "task": "classification",
            "metric": "top5",
            "label": "target",
            "classes": "cat, dog",
            "width": "224",
            "mean": "0",
            "examples_stay": "on",
            "file": upload_of(npz_bytes, "set.npz"),
        }
        client = browse(engineer)
        response = client.post("/datasets/upload/", answers)
        dataset = DataSet.objects.get()
        assert response.url == dataset.get_absolute_url()
        assert dataset.spec["examples_may_leave"] is False
        assert "contain none of its examples" in text_of(client.get(response.url))
        assert (dataset.spec["metric"], dataset.spec["label"], dataset.spec["classes"]) == (
            "top5",
            "target",
            ["cat", "dog"],
        )
        assert dataset.spec["images"] is None

    def test_inputs_say_what_fills_them(self, browse: Browse, engineer: User, npz_bytes: bytes):
        lines = "state: constant 0, batch axis 1\nserving_default_x:0: batch axis 2\n\nrate: array sr\n"
        answers = {"name": "Voices", "kind": "npz", "task": "fidelity", "inputs": lines}
        page = browse(engineer)
        response = page.post("/datasets/upload/", {**answers, "file": upload_of(npz_bytes, "set.npz")})
        assert response.status_code == 302, text_of(response)
        assert DataSet.objects.get().spec["inputs"] == {
            "state": {"constant": 0.0, "batch_axis": 1, "array": None},
            "serving_default_x:0": {"constant": None, "batch_axis": 2, "array": None},
            "rate": {"constant": None, "batch_axis": None, "array": "sr"},
        }
        assert "constant 0, batch axis 1" in text_of(page.get(response.url))

    @pytest.mark.parametrize("line", ["state", "state: 0", ": constant 0", "state:", "state: constant 0; batch axis 1"])
    def test_a_line_about_an_input_that_says_nothing_comes_back(
        self, browse: Browse, engineer: User, npz_bytes: bytes, line: str
    ):
        answers = {"name": "Voices", "kind": "npz", "task": "fidelity", "inputs": line}
        response = browse(engineer).post("/datasets/upload/", {**answers, "file": upload_of(npz_bytes, "set.npz")})
        assert response.status_code == 422
        assert not DataSet.objects.exists()

    @pytest.mark.parametrize(("task", "blank"), [("fidelity", 0), ("classification", None)])
    def test_the_blank_of_ctc_goes_with_fidelity_only(
        self, browse: Browse, engineer: User, npz_bytes: bytes, task: str, blank: int | None
    ):
        answers = {"name": "Speech", "kind": "npz", "task": task, "label": "y", "ctc_blank": "0"}
        page = browse(engineer)
        response = page.post("/datasets/upload/", {**answers, "file": upload_of(npz_bytes, "set.npz")})
        assert response.status_code == 302, text_of(response)
        assert DataSet.objects.get().spec["ctc_blank"] == blank
        shown = text_of(page.get(response.url))
        assert ("CTC blank" in shown) == (blank is not None)
        assert ("sequence agreement with the original" in shown) == (blank is not None)

    def test_labels_of_further_outputs_are_read_line_by_line_and_shown(
        self, browse: Browse, engineer: User, npz_bytes: bytes
    ):
        lines = "age: years, regression, metric mae, unit a\n\nsex: sex, Classification, classes f | m"
        answers = {"name": "Heads", "kind": "npz", "task": "classification", "label": "y", "output_labels": lines}
        page = browse(engineer)
        response = page.post("/datasets/upload/", {**answers, "file": upload_of(npz_bytes, "set.npz")})
        assert response.status_code == 302, text_of(response)
        found = DataSet.objects.get().spec["output_labels"]
        assert (found["age"]["label"], found["age"]["metric"], found["age"]["unit"]) == ("years", "mae", "a")
        assert (found["sex"]["task"], found["sex"]["classes"]) == ("classification", ["f", "m"])
        shown = text_of(page.get(response.url))
        assert "Labels of age" in shown
        assert "years, regression, metric mae, unit a" in shown

    @pytest.mark.parametrize("lines", ["age", "age: years", ": years, regression", "age: y, regression, per year"])
    def test_a_line_about_labels_that_says_too_little_comes_back(
        self, browse: Browse, engineer: User, npz_bytes: bytes, lines: str
    ):
        answers = {"name": "Heads", "kind": "npz", "task": "classification", "output_labels": lines}
        response = browse(engineer).post("/datasets/upload/", {**answers, "file": upload_of(npz_bytes, "set.npz")})
        assert response.status_code == 422
        assert "does not have the form" in text_of(response)
        assert not DataSet.objects.exists()

    def test_images_bring_their_preprocessing(self, browse: Browse, engineer: User):
        answers = {
            "name": "Pictures",
            "kind": "images",
            "task": "classification",
            "width": "32",
            "height": "32",
            "scale": "0.00392",
            "mean": "0.485, 0.456, 0.406",
            "std": "0.229, 0.224, 0.225",
            "color": "RGB",
            "layout": "NCHW",
            "file": upload_of(b"PK\x05\x06" + b"\x00" * 18, "pictures.zip"),
        }
        response = browse(engineer).post("/datasets/upload/", answers)
        assert response.status_code == 302, text_of(response)
        assert DataSet.objects.get().spec["images"]["mean"] == [0.485, 0.456, 0.406]

    def test_a_table_brings_its_columns(self, browse: Browse, engineer: User):
        answers = {
            "name": "Table",
            "kind": "table",
            "task": "regression",
            "label": "price",
            "columns": "x: a, b\n\nz: c",
            "file": upload_of(b"a,b,c,price\n1,2,3,4\n", "table.csv"),
        }
        browse(engineer).post("/datasets/upload/", answers)
        assert DataSet.objects.get().spec["columns"] == {"x": ["a", "b"], "z": ["c"]}

    @pytest.mark.parametrize(
        ("columns", "shapes", "spec"),
        [
            ("", "2, 1", {"features": [2, 1]}),
            ("x: a, b\nz: c", "x: 1, 2\n\nz: 1", {"x": [1, 2], "z": [1]}),
            ("", "", {}),
        ],
    )
    def test_a_table_brings_the_shape_of_its_columns(
        self, browse: Browse, engineer: User, columns: str, shapes: str, spec: dict[str, list[int]]
    ):
        file = upload_of(b"a,b,c,y\n1,2,3,4\n", "table.csv")
        answers = {"name": "Table", "kind": "table", "task": "regression", "columns": columns, "shapes": shapes}
        browse(engineer).post("/datasets/upload/", answers | {"file": file})
        dataset = DataSet.objects.get()
        assert dataset.spec["shapes"] == spec
        page = text_of(browse(engineer).get(f"/datasets/{dataset.pk}/"))
        assert ("Shape" in page) is bool(spec)

    @pytest.mark.parametrize(
        ("changed", "field", "sentence"),
        [
            ({"shapes": "25 by 2", "kind": "table"}, "shapes", "does not have the form"),
            ({"shapes": "0, 2", "kind": "table", "task": "regression"}, "shapes", "axes of at least 1"),
            ({"metric": "mae"}, "metric", "does not go with task"),
            ({"columns": "no colon", "kind": "table"}, "columns", "does not have the form"),
            ({"mean": "a", "kind": "images"}, "mean", "Enter numbers"),
            ({"width": "9999", "kind": "images"}, "width", "less than or equal to 8192"),
            ({"file": upload_of(b"%PDF-1.7")}, "file", "this file is a PDF document"),
        ],
    )
    def test_a_mistake_is_said(
        self, browse: Browse, engineer: User, npz_bytes: bytes, changed: dict, field: str, sentence: str
    ):
        answers = {"name": "Set", "kind": "npz", "task": "classification", "file": upload_of(npz_bytes)}
        response = browse(engineer).post("/datasets/upload/", {**answers, **changed})
        assert response.status_code == 422
        assert sentence in text_of(response)
        assert not DataSet.objects.exists()

    def test_the_page_shows_what_the_check_found(self, browse: Browse, dataset: DataSet, viewer: User):
        client = browse(viewer)
        url = reverse("models:dataset-status", args=[dataset.pk])
        assert "every 2s" in client.get(dataset.get_absolute_url()).content.decode()
        summary = {
            "kind": "npz",
            "task": "classification",
            "examples": 4000,
            "inputs": [{"name": "x", "dtype": "float32", "shape": ["N", 4]}],
            "classes": ["cat", "dog"],
            "class_counts": {"cat": 3000, "dog": 1000},
            "notes": ["12 examples repeat another one."],
        }
        DataSet.objects.update(status="ready", summary=summary)
        response = client.get(url)
        for words in ("4,000", "512", "697", "2,791", "x: float32[N, 4]", "cat 3,000", "12 examples repeat"):
            assert words in text_of(response)
        assert "hx-trigger" not in response.content.decode()

    def test_a_refusal_shows_its_sentence(self, browse: Browse, dataset: DataSet, engineer: User):
        dataset.refuse("dataset.labels_missing", "There are no labels.")
        assert "There are no labels." in text_of(browse(engineer).get(dataset.get_absolute_url()))

    def test_it_can_be_described_and_deleted(self, browse: Browse, dataset: DataSet, engineer: User):
        client = browse(engineer)
        client.post(reverse("models:dataset-describe", args=[dataset.pk]), {"name": "New", "description": "d"})
        dataset.refresh_from_db()
        assert (dataset.name, dataset.description) == ("New", "d")
        url = reverse("models:dataset-describe", args=[dataset.pk])
        assert client.post(url, {"name": ""}).status_code == 422
        services.add_dataset(dataset.team, engineer, "Taken", dataset.spec, file=upload_of(npz({"x": ("<f4", (1,))})))
        assert client.post(url, {"name": "Taken"}).status_code == 409
        client.post(reverse("models:dataset-delete", args=[dataset.pk]))
        assert not DataSet.objects.filter(pk=dataset.pk).exists()
