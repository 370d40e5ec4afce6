"""The store over the API: the same functions as the pages, with problem details."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from hashlib import sha256

import pytest
from rest_framework.test import APIClient

from apps.accounts.models import Membership, Role, Team, User
from apps.models import services
from apps.models.models import Alias, DataSet, ModelVersion, RegisteredModel, Upload
from tests.models.conftest import SPEC, linear_model, upload_of

pytestmark = pytest.mark.django_db

Api = Callable[[User], APIClient]


def send_piece(client: APIClient, upload: str, offset: int | str, data: bytes):
    return client.patch(
        f"/api/v1/uploads/{upload}/",
        data,
        content_type="application/octet-stream",
        headers={"Upload-Offset": str(offset)},
    )


class TestModels:
    def test_a_model_is_made_changed_found_and_deleted(self, api: Api, engineer: User):
        client = api(engineer)
        made = client.post("/api/v1/models/", {"name": "Net", "tags": ["B", "a"]})
        assert made.status_code == 201
        url = f"/api/v1/models/{made.data['id']}/"
        assert (made.data["team"], made.data["tags"], made.data["created_by"]) == ("vision", ["a", "b"], engineer.email)
        assert client.patch(url, {"description": "text"}).data["description"] == "text"
        assert client.get("/api/v1/models/?search=text&tag=a&team=vision").data["count"] == 1
        assert client.get("/api/v1/models/?search=nothing").data["count"] == 0
        assert client.delete(url).status_code == 204
        assert client.get(url).status_code == 404

    def test_versions_and_aliases_are_named_by_number(self, api: Api, version: ModelVersion, engineer: User):
        services.move_alias(version.model, "production", version, engineer)
        found = api(engineer).get(f"/api/v1/models/{version.model.pk}/").data
        assert (found["versions"], found["aliases"]) == ([1], {"production": 1})

    def test_a_taken_name_is_a_problem_with_a_code(self, api: Api, model: RegisteredModel, engineer: User):
        response = api(engineer).post("/api/v1/models/", {"name": model.name})
        assert response.status_code == 409
        assert response["Content-Type"] == "application/problem+json"
        assert response.data["code"] == "model.name_taken"
        assert response.data["errors"][0]["field"] == "name"

    def test_members_of_two_teams_name_one(self, api: Api, engineer: User, other_team: Team):
        Membership.objects.create(team=other_team, user=engineer, role=Role.ENGINEER)
        client = api(engineer)
        assert client.post("/api/v1/models/", {"name": "Net"}).data["code"] == "team.ambiguous"
        made = client.post("/api/v1/models/", {"name": "Net", "team": "speech"})
        assert made.data["team"] == "speech"


class TestVersions:
    def test_a_file_becomes_a_version(self, api: Api, model: RegisteredModel, engineer: User, onnx_bytes: bytes):
        answers = {"model": model.pk, "file": upload_of(onnx_bytes, "net.onnx"), "description": "first"}
        made = api(engineer).post("/api/v1/versions/", answers, format="multipart")
        assert made.status_code == 201, made.data
        assert (made.data["number"], made.data["status"], made.data["filename"]) == (1, "pending", "net.onnx")
        assert made.data["sha256"] == sha256(onnx_bytes).hexdigest()
        assert made.data["metadata"]["inputs"][0]["name"] == "x"

    def test_a_finished_upload_becomes_a_version(self, api: Api, version: ModelVersion, engineer: User):
        client, data = api(engineer), linear_model(classes=7)
        upload = client.post("/api/v1/uploads/", {"filename": "int8.onnx", "size_bytes": len(data)}).data["id"]
        send_piece(client, upload, 0, data)
        answers = {"model": version.model.pk, "upload": upload, "parent": version.pk}
        made = client.post("/api/v1/versions/", answers)
        assert (made.data["number"], made.data["filename"], made.data["parent"]) == (2, "int8.onnx", version.pk)
        again = client.post("/api/v1/versions/", answers)
        assert (again.status_code, again.data["code"]) == (422, "upload.unknown")

    def test_a_wrong_file_is_a_problem_with_a_code(self, api: Api, model: RegisteredModel, engineer: User):
        answers = {"model": model.pk, "file": upload_of(b"%PDF-1.7")}
        response = api(engineer).post("/api/v1/versions/", answers, format="multipart")
        assert (response.status_code, response.data["code"]) == (422, "model.wrong_type")

    def test_an_empty_file_and_none_are_problems(self, api: Api, model: RegisteredModel, engineer: User):
        client = api(engineer)
        empty = client.post("/api/v1/versions/", {"model": model.pk, "file": upload_of(b"")}, format="multipart")
        assert empty.data["code"] == "upload.empty"
        assert client.post("/api/v1/versions/", {"model": model.pk}).data["code"] == "upload.no_file"

    def test_versions_are_found_by_what_they_are(
        self, api: Api, make_version: Callable[..., ModelVersion], viewer: User
    ):
        first, second = make_version(2), make_version(3)
        client = api(viewer)
        for query, expected in (
            (f"model={first.model.pk}&number=2", second),
            (f"sha256={first.blob_id}", first),
        ):
            found = client.get(f"/api/v1/versions/?{query}").data["results"]
            assert [row["id"] for row in found] == [expected.pk]
        assert client.get("/api/v1/versions/?status=ready&model_format=onnx&team=vision").data["count"] == 2
        assert client.get("/api/v1/versions/?status=refused").data["count"] == 0

    def test_a_filter_does_not_tell_which_ids_there_are(self, api: Api, version: ModelVersion, stranger: User):
        client, absent = api(stranger), 10**15
        for path, known in (
            ("versions/?model", version.model_id),
            ("versions/?parent", version.pk),
            ("aliases/?model", version.model_id),
            ("aliases/?version", version.pk),
        ):
            for pk in (known, absent):
                response = client.get(f"/api/v1/{path}={pk}")
                assert (response.status_code, response.data["count"]) == (200, 0), (path, pk)
            assert client.get(f"/api/v1/{path}={10**25}").status_code == 400

    def test_a_version_is_described_and_deleted(self, api: Api, version: ModelVersion, engineer: User):
        client, url = api(engineer), f"/api/v1/versions/{version.pk}/"
        assert client.patch(url, {"description": "x"}).data["description"] == "x"
        services.move_alias(version.model, "production", version, engineer)
        assert client.delete(url).data["code"] == "version.in_use"
        Alias.objects.all().delete()
        assert client.delete(url).status_code == 204

    def test_the_file_comes_with_its_digest(self, api: Api, version: ModelVersion, viewer: User):
        client = api(viewer)
        response = client.get(f"/api/v1/versions/{version.pk}/file/")
        data = b"".join(response.streaming_content)
        assert sha256(data).hexdigest() == version.blob_id
        digest = base64.b64encode(bytes.fromhex(version.blob_id)).decode()
        assert response["Repr-Digest"] == f"sha-256=:{digest}:"
        assert response["Content-Length"] == str(len(data))
        assert response["Content-Disposition"] == 'attachment; filename="model.onnx"'
        known = client.get(f"/api/v1/versions/{version.pk}/file/", headers={"If-None-Match": response["ETag"]})
        assert known.status_code == 304


class TestAliases:
    def test_an_alias_moves_and_moves_back(self, api: Api, make_version: Callable[..., ModelVersion], engineer: User):
        first, second = make_version(2), make_version(3)
        client = api(engineer)
        for version in (first, second):
            body = {"model": first.model.pk, "name": "production", "version": version.pk, "reason": "good"}
            moved = client.post("/api/v1/aliases/", body)
        assert (moved.data["number"], len(moved.data["moves"])) == (2, 2)
        url = f"/api/v1/aliases/{moved.data['id']}/"
        assert client.post(f"{url}undo/").data["number"] == 1
        assert client.post(f"{url}undo/").data["code"] == "alias.nothing_to_undo"
        assert client.get(f"/api/v1/aliases/?model={first.model.pk}&name=production").data["count"] == 1

    def test_a_move_can_insist_on_where_the_alias_pointed(self, api: Api, make_version, engineer: User):
        first, second = make_version(2), make_version(3)
        body = {"model": first.model.pk, "name": "production", "version": second.pk, "expected": first.pk}
        response = api(engineer).post("/api/v1/aliases/", body)
        assert (response.status_code, response.data["code"]) == (409, "alias.moved_meanwhile")


class TestDataSets:
    def test_a_file_becomes_a_data_set(self, api: Api, engineer: User, npz_bytes: bytes):
        answers = {"name": "Set", "spec": json.dumps(SPEC), "file": upload_of(npz_bytes, "set.npz")}
        client = api(engineer)
        made = client.post("/api/v1/datasets/", answers, format="multipart")
        assert made.status_code == 201, made.data
        assert (made.data["status"], made.data["spec"]["kind"], made.data["team"]) == ("pending", "npz", "vision")
        url = f"/api/v1/datasets/{made.data['id']}/"
        assert client.patch(url, {"name": "New"}).data["name"] == "New"
        assert client.get("/api/v1/datasets/?search=new&status=pending&team=vision").data["count"] == 1
        assert b"".join(client.get(f"{url}file/").streaming_content) == npz_bytes
        assert client.delete(url).status_code == 204

    def test_a_finished_upload_becomes_a_data_set(self, api: Api, engineer: User, npz_bytes: bytes):
        client = api(engineer)
        upload = client.post("/api/v1/uploads/", {"filename": "s.npz", "size_bytes": len(npz_bytes)}).data["id"]
        send_piece(client, upload, 0, npz_bytes)
        made = client.post("/api/v1/datasets/", {"name": "Set", "spec": SPEC, "upload": upload})
        assert (made.status_code, made.data["filename"]) == (201, "s.npz")

    def test_a_wrong_spec_names_the_field(self, api: Api, engineer: User, npz_bytes: bytes):
        answers = {"name": "Set", "spec": json.dumps({"kind": "npz"}), "file": upload_of(npz_bytes)}
        response = api(engineer).post("/api/v1/datasets/", answers, format="multipart")
        assert (response.data["code"], response.data["errors"][0]["field"]) == ("dataset.spec_invalid", "spec.task")
        assert not DataSet.objects.exists()


class TestUploads:
    def test_pieces_arrive_and_the_offset_is_told(self, api: Api, engineer: User):
        client = api(engineer)
        begun = client.post("/api/v1/uploads/", {"filename": "net.onnx", "size_bytes": 10})
        assert (begun.status_code, begun["Upload-Offset"], begun["Upload-Length"]) == (201, "0", "10")
        upload = begun.data["id"]
        assert send_piece(client, upload, 0, b"01234")["Upload-Offset"] == "5"
        head = client.head(f"/api/v1/uploads/{upload}/")
        assert (head.status_code, head["Upload-Offset"], head["Cache-Control"]) == (200, "5", "no-store")
        done = send_piece(client, upload, 5, b"56789")
        assert done.data["sha256"] == sha256(b"0123456789").hexdigest()

    def test_a_wrong_offset_is_a_conflict_with_the_right_one(self, api: Api, engineer: User):
        client = api(engineer)
        upload = client.post("/api/v1/uploads/", {"filename": "f", "size_bytes": 10}).data["id"]
        send_piece(client, upload, 0, b"01234")
        response = send_piece(client, upload, 0, b"01234")
        assert (response.status_code, response["Upload-Offset"]) == (409, "5")
        assert response.data["code"] == "upload.offset_mismatch"

    def test_an_empty_piece_says_where_the_upload_stands(self, api: Api, engineer: User):
        client = api(engineer)
        upload = client.post("/api/v1/uploads/", {"filename": "f", "size_bytes": 10}).data["id"]
        response = client.patch(
            f"/api/v1/uploads/{upload}/",
            b"",
            content_type="application/octet-stream",
            headers={"Upload-Offset": "0", "Content-Length": "0"},
        )
        assert (response.status_code, response["Upload-Offset"]) == (200, "0")

    @pytest.mark.parametrize("offset", ["", "-1", "three"])
    def test_the_offset_is_a_whole_number(self, api: Api, engineer: User, offset: str):
        client = api(engineer)
        upload = client.post("/api/v1/uploads/", {"filename": "f", "size_bytes": 10}).data["id"]
        assert send_piece(client, upload, offset, b"0").data["code"] == "upload.header_missing"

    def test_another_content_type_is_refused(self, api: Api, engineer: User):
        client = api(engineer)
        upload = client.post("/api/v1/uploads/", {"filename": "f", "size_bytes": 10}).data["id"]
        response = client.patch(f"/api/v1/uploads/{upload}/", {"a": 1}, headers={"Upload-Offset": "0"})
        assert response.status_code == 415

    def test_an_upload_is_its_members_own(self, api: Api, engineer: User, owner: User):
        upload = api(engineer).post("/api/v1/uploads/", {"filename": "f", "size_bytes": 10}).data["id"]
        assert api(owner).get(f"/api/v1/uploads/{upload}/").status_code == 404
        assert send_piece(api(owner), upload, 0, b"0").status_code == 404

    def test_an_upload_can_be_given_up(self, api: Api, engineer: User):
        client = api(engineer)
        upload = client.post("/api/v1/uploads/", {"filename": "f", "size_bytes": 10}).data["id"]
        assert client.delete(f"/api/v1/uploads/{upload}/").status_code == 204
        assert not Upload.objects.exists()
