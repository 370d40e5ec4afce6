"""Who may see and who may change: every page and route of the store × every role."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client
from django.urls import get_resolver, reverse

from apps.accounts.models import User
from apps.models import services
from apps.models.models import DataSet, ModelVersion, Upload
from apps.models.urls import urlpatterns, version_urls
from tests.models.conftest import SPEC

pytestmark = pytest.mark.django_db


@dataclass
class Store:
    version: ModelVersion
    dataset: DataSet
    upload: Upload

    @property
    def model_pk(self) -> int:
        return self.version.model.pk


@pytest.fixture
def store(version: ModelVersion, dataset: DataSet, engineer: User) -> Store:
    services.move_alias(version.model, "production", version, engineer)
    return Store(version, dataset, services.begin_upload(version.model.team, engineer, "f", 5))


def version_page(name: str) -> Callable[[Store], str]:
    return lambda store: reverse(f"models:{name}", args=[store.model_pk, 1])


def model_page(name: str, *more: str) -> Callable[[Store], str]:
    return lambda store: reverse(f"models:{name}", args=[store.model_pk, *more])


def dataset_page(name: str) -> Callable[[Store], str]:
    return lambda store: reverse(f"models:{name}", args=[store.dataset.pk])


# Read pages: members 200, strangers 404. Write pages: engineers redirected or told of mistakes, viewers 403, strangers
# 404.
READ: dict[str, Callable[[Store], str]] = {
    "model-detail": model_page("model-detail"),
    **{
        name: version_page(name)
        for name in ("version-detail", "version-status", "version-graph", "version-graph-frame", "version-file")
    },
    **{name: dataset_page(name) for name in ("dataset-detail", "dataset-status", "dataset-file")},
}
WRITE: dict[str, Callable[[Store], str]] = {
    "model-describe": model_page("model-describe"),
    "model-delete": model_page("model-delete"),
    "alias-move": model_page("alias-move"),
    "alias-undo": model_page("alias-undo", "production"),
    "version-describe": version_page("version-describe"),
    "version-signature": version_page("version-signature"),
    "version-delete": version_page("version-delete"),
    "dataset-describe": dataset_page("dataset-describe"),
    "dataset-delete": dataset_page("dataset-delete"),
}
LISTS = ("model-list", "dataset-list")
ELSEWHERE = {
    "model-bulk",
    "dataset-bulk",
    "model-card",
    "alias-protect",
    "approval-list",
    "approval-decide",
    "approval-withdraw",
}
"""Tested in tests/models/test_approvals.py, tests/models/test_cards.py and tests/portal/test_access.py."""
UPLOADS = ("model-upload", "dataset-upload")


def test_the_table_has_every_page():
    patterns = [*urlpatterns, *version_urls]
    names = {pattern.name for pattern in patterns if hasattr(pattern, "name")}
    assert names == {*READ, *WRITE, *LISTS, *UPLOADS, *ELSEWHERE}
    assert get_resolver()


def be(client: Client, person: User | None) -> Client:
    client.logout()
    if person is not None:
        client.force_login(person)
    return client


@pytest.mark.parametrize("name", READ)
def test_members_read_and_strangers_find_nothing(name: str, store: Store, client: Client, request):
    url = READ[name](store)
    for role, expected in (("owner", 200), ("engineer", 200), ("viewer", 200), ("stranger", 404)):
        response = be(client, request.getfixturevalue(role)).get(url)
        assert response.status_code == expected, role
        if response.streaming:
            b"".join(response.streaming_content)  # closes the file
    response = be(client, None).get(url)
    assert response.status_code == 302
    assert f"next={url}" in response.url


@pytest.mark.parametrize("name", WRITE)
def test_engineers_write_viewers_may_not_and_strangers_find_nothing(name: str, store: Store, client: Client, request):
    url = WRITE[name](store)
    assert be(client, request.getfixturevalue("viewer")).post(url).status_code == 403
    assert be(client, request.getfixturevalue("stranger")).post(url).status_code == 404
    assert be(client, None).post(url).status_code == 302
    assert be(client, request.getfixturevalue("engineer")).get(url).status_code == 405
    assert be(client, request.getfixturevalue("engineer")).post(url).status_code in (302, 422)


@pytest.mark.parametrize("name", LISTS)
def test_lists_show_the_own_team_only(name: str, store: Store, client: Client, viewer: User, stranger: User):
    url = reverse(f"models:{name}")
    assert len(be(client, viewer).get(url).context["page"]) == 1
    assert len(be(client, stranger).get(url).context["page"]) == 0
    assert be(client, None).get(url).status_code == 302


@pytest.mark.parametrize("name", UPLOADS)
def test_viewers_do_not_get_the_upload_forms(name: str, client: Client, viewer: User, engineer: User):
    url = reverse(f"models:{name}")
    assert be(client, viewer).get(url).status_code == 403
    assert be(client, viewer).post(url).status_code == 403
    assert be(client, engineer).get(url).status_code == 200


def api_rows(store: Store) -> dict[str, str]:
    return {
        "models": f"/api/v1/models/{store.model_pk}/",
        "versions": f"/api/v1/versions/{store.version.pk}/",
        "aliases": f"/api/v1/aliases/{store.version.model.aliases.get().pk}/",
        "datasets": f"/api/v1/datasets/{store.dataset.pk}/",
    }


@pytest.mark.parametrize("route", ["models", "versions", "aliases", "datasets"])
def test_the_api_shows_members_their_rows_and_strangers_none(route: str, store: Store, api, viewer, stranger):
    assert api(viewer).get(api_rows(store)[route]).status_code == 200
    assert api(viewer).get(f"/api/v1/{route}/").data["count"] == 1
    assert api(stranger).get(api_rows(store)[route]).status_code == 404
    assert api(stranger).get(f"/api/v1/{route}/").data["count"] == 0


def api_writes(store: Store) -> list[tuple[str, str, dict[str, Any]]]:
    rows = api_rows(store)
    return [
        ("post", "/api/v1/models/", {"name": "x", "team": "vision"}),
        ("patch", rows["models"], {"name": "x"}),
        ("delete", rows["models"], {}),
        ("post", "/api/v1/versions/", {"model": store.model_pk, "upload": str(store.upload.pk)}),
        ("patch", rows["versions"], {"description": "x"}),
        ("delete", rows["versions"], {}),
        ("post", "/api/v1/aliases/", {"model": store.model_pk, "name": "x", "version": store.version.pk}),
        ("post", f"{rows['aliases']}undo/", {}),
        ("post", "/api/v1/datasets/", {"name": "x", "spec": SPEC, "team": "vision"}),
        ("patch", rows["datasets"], {"name": "x"}),
        ("delete", rows["datasets"], {}),
        ("post", "/api/v1/uploads/", {"filename": "x", "size_bytes": 5, "team": "vision"}),
    ]


def test_the_api_lets_viewers_change_nothing(store: Store, api, viewer: User):
    for method, url, body in api_writes(store):
        if "upload" in body:
            continue  # naming another member's upload is an error of its own
        response = getattr(api(viewer), method)(url, body)
        assert response.status_code == 403, (method, url, response.data)


def test_the_api_lets_strangers_find_nothing_to_change(store: Store, api, stranger: User):
    for method, url, body in api_writes(store):
        response = getattr(api(stranger), method)(url, body)
        named_team = body.get("team") == "vision"
        assert response.status_code == (422 if named_team else 404), (method, url, response.data)


def test_the_api_asks_who_is_there(store: Store, api):
    from rest_framework.test import APIClient

    for method, url, body in api_writes(store):
        assert getattr(APIClient(), method)(url, body).status_code == 401, (method, url)
