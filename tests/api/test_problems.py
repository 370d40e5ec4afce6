"""What goes wrong before a request is about anything: problem details with codes that never change."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.db import OperationalError, connection
from rest_framework.test import APIClient
from rest_framework.throttling import SimpleRateThrottle

from apps.accounts.models import TokenScope, User
from apps.optimization import services
from lathe.errors import RETRY_AFTER_S, request_problems
from tests.api.conftest import Api
from tests.api.contract import PROBLEM, Client
from tests.portal.world import World

pytestmark = pytest.mark.django_db

MODELS = "/api/v1/models/"
JSON = "application/json"


@pytest.fixture
def mine(api: Api, engineer: User) -> Client:
    return api(engineer)


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), body
    assert answer.headers["Content-Type"] == PROBLEM
    assert (body["status"], body["type"]) == (status, f"urn:lathe:problem:{code}")
    return body


@pytest.mark.parametrize(
    "body",
    ["{", "{'a': 1}", '{"name": NaN}', b"\xff", "[" * 100_000, '{"name": "\\u0000"}', '{"name": "\\ud800"}'],
    ids=["cut", "quotes", "nan", "utf-8", "deep", "nul", "surrogate"],
)
def test_a_body_that_is_no_json(mine: Client, body: str | bytes) -> None:
    problem(mine.generic("POST", MODELS, body, JSON), 400, "request.parse_error")


def test_a_body_of_another_type(mine: Client) -> None:
    for media in ("text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data"):
        problem(mine.generic("POST", MODELS, "name=x", media), 415, "request.unsupported_media_type")


def test_a_body_that_is_too_large_is_not_read(mine: Client, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    problem(mine.post(MODELS, {"name": "x" * 200}), 413, "request.too_large")


def test_a_wrong_method_says_which_are_right(mine: Client) -> None:
    answer = mine.put(MODELS, {})
    problem(answer, 405, "request.method_not_allowed")
    assert answer["Allow"] == "GET, POST, HEAD, OPTIONS"


def test_a_media_type_that_there_is_not(mine: Client) -> None:
    answer = APIClient().get("/api/v1/me/", headers={"Accept": "text/html", **authorization(mine)})
    problem(answer, 406, "request.not_acceptable")


def authorization(client: Client) -> dict[str, str]:
    return {"Authorization": client._credentials["HTTP_AUTHORIZATION"]}


@pytest.mark.parametrize("path", ["/api/v1/nothing/", "/api/v1/models/7/nothing/", "/api/v2/", "/api/nothing"])
def test_an_address_that_is_not_there(mine: Client, path: str) -> None:
    problem(mine.get(path), 404, "request.not_found")


def test_a_token_that_is_none(anybody: Client) -> None:
    answer = anybody.get(MODELS, headers={"Authorization": "Bearer nonsense"})
    problem(answer, 401, "request.authentication_failed")
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_token_for_reading_does_not_write(api: Api, engineer: User) -> None:
    reader = api(engineer, TokenScope.READ)
    assert reader.get(MODELS).status_code == 200
    body = problem(reader.post(MODELS, {"name": "x"}), 403, "request.permission_denied")
    assert body["detail"] == "This token is read-only. Create one with the scope “write”."


def test_a_viewer_does_not_write(api: Api, viewer: User) -> None:
    problem(api(viewer).post(MODELS, {"name": "x"}), 403, "request.permission_denied")


def test_a_browser_that_writes_needs_its_own_pages_word(engineer: User) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(engineer)
    assert browser.get(MODELS).status_code == 200
    problem(browser.post(MODELS, {"name": "x"}), 403, "request.permission_denied")


def test_who_asks_too_often_is_told_when_to_ask_again(
    mine: Client, anybody: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SimpleRateThrottle, "THROTTLE_RATES", {"anon": "1/min", "user": "2/min"})
    assert [mine.get("/api/v1/me/").status_code for _ in range(2)] == [200, 200]
    answer = mine.get("/api/v1/me/")
    problem(answer, 429, "request.throttled")
    assert 0 < int(answer["Retry-After"]) <= 60
    cache.clear()
    assert anybody.get("/api/v1/me/").status_code == 401
    assert anybody.get("/api/v1/me/").status_code == 401, "who is not logged in is told so first"


def test_wrong_fields_are_named_each(mine: Client) -> None:
    body = problem(mine.post("/api/v1/uploads/", {"size_bytes": "many"}), 400, "request.invalid")
    assert [(one["field"], one["code"]) for one in body["errors"]] == [
        ("filename", "required"),
        ("size_bytes", "invalid"),
    ]
    assert body["detail"] == "2 fields are invalid. See “errors”."
    alone = problem(mine.post(MODELS, {"name": ""}), 400, "request.invalid")
    assert alone["detail"] == alone["errors"][0]["message"]


def test_several_wrong_criteria_are_named_each(mine: Client, everything: World) -> None:
    criteria = {"confidence": 7, "constraints": {"min_speedup": -1}}
    body = problem(mine.post("/api/v1/criteria/", {"name": "x", "body": criteria}), 422, "criteria.invalid")
    assert {one["field"] for one in body["errors"]} == {"confidence", "constraints.min_speedup"}


def test_a_wrong_value_inside_is_named_by_its_path(mine: Client) -> None:
    body = problem(mine.post(MODELS, {"name": "x", "tags": ["fine", {}]}), 400, "request.invalid")
    assert body["errors"][0]["field"] == "tags.1"


def test_an_error_of_ours_says_nothing_of_itself(
    mine: Client, everything: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(session: Any) -> Any:
        raise RuntimeError("a secret of the house")

    monkeypatch.setattr(services, "report", broken)
    outside = APIClient(raise_request_exception=False)
    answer = outside.get(f"/api/v1/sessions/{everything.session.pk}/report/", headers=authorization(mine))
    problem(answer, 500, "request.error")
    assert b"secret" not in answer.content


def test_a_database_that_is_away_is_asked_again_later(mine: Client) -> None:
    def away(*asked: Any) -> Any:
        raise OperationalError("server closed the connection unexpectedly")

    with connection.execute_wrapper(away):
        answer = mine.get(MODELS)
    problem(answer, 503, "request.database_away")
    assert answer["Retry-After"] == str(RETRY_AFTER_S)
    assert b"closed the connection" not in answer.content


def test_every_code_of_the_framework_was_met_here() -> None:
    """The codes that the catalogue lists for any request are those above."""
    met = (
        "parse_error unsupported_media_type too_large method_not_allowed not_acceptable not_found not_authenticated "
        "authentication_failed permission_denied throttled invalid error database_away"
    )
    assert {one.code for one in request_problems()} == {f"request.{name}" for name in met.split()}


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("sessions", "version"),
        ("sessions", "dataset"),
        ("sessions", "student"),
        ("sessions", "criteria_set"),
        ("sessions/compare", "compared"),
        ("versions", "model"),
        ("aliases", "model"),
        ("aliases", "version"),
    ],
)
def test_a_row_that_is_missing_is_named_by_its_field(mine: Client, everything: World, path: str, field: str) -> None:
    known = {
        "model": everything.model.pk,
        "version": everything.version.pk,
        "dataset": everything.dataset.pk,
        "compared": everything.version.pk,
        "name": "production",
    }
    body = problem(mine.post(f"/api/v1/{path}/", {**known, field: 999_999}), 404, "request.not_found")
    assert [(one["field"], one["code"]) for one in body["errors"]] == [(field, "not_found")]
