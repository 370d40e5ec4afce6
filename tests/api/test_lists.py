"""Every list is cut into pages, narrowed and ordered, and refuses what it does not understand."""

from __future__ import annotations

from typing import Any

import pytest

from apps.accounts.models import User
from apps.models.models import ModelVersion, RegisteredModel
from apps.optimization.models import LogEntry, OptimizationSession
from lathe.env import PROJECT_ROOT as ROOT
from lathe.pagination import Pages
from tests.api.conftest import Api
from tests.api.contract import Client, Contract
from tests.portal.world import World

pytestmark = pytest.mark.django_db

LISTS = (
    *("models", "versions", "aliases", "datasets", "criteria", "sessions", "workers", "audit", "teams"),
    *("members", "invitations", "logins", "tokens", "service-accounts", "alias-requests"),
)
ORDERED = {
    "models": "name",
    "versions": "number",
    "aliases": "name",
    "datasets": "created_at",
    "criteria": "version",
    "sessions": "created_at",
    "workers": "seen_at",
    "audit": "sequence",
}
WRONG_VALUES = [
    ("versions", "status", "lost"),
    ("versions", "model", "resnet"),
    ("versions", "number", "one"),
    ("versions", "source_session", "7"),
    ("aliases", "model", "x"),
    ("datasets", "status", "READY"),
    ("sessions", "status", "done"),
    ("sessions", "outcome", "better"),
    ("sessions", "phase", "thinking"),
    ("sessions", "objective", "speed"),
    ("sessions", "started_after", "yesterday"),
    ("sessions", "model", "x"),
    ("sessions", "version", "9" * 25),
    ("aliases", "version", "9" * 25),
    ("criteria", "version", "newest"),
    ("audit", "session", "7"),
    ("audit", "after", "noon"),
    ("audit", "actor_kind", "robot"),
]


@pytest.fixture
def mine(api: Api, everything: World, owner: User) -> Client:
    return api(owner)


def wrong_field(answer: Any) -> list[tuple[str, str]]:
    assert (answer.status_code, answer.json()["code"]) == (400, "request.invalid"), answer.content
    return [(one["field"], one["code"]) for one in answer.json()["errors"]]


@pytest.mark.parametrize("name", LISTS)
def test_a_list_comes_in_pages(mine: Client, name: str) -> None:
    path = f"/api/v1/{name}/"
    first = mine.get(path, {"page_size": 1}).json()
    assert (first["count"] >= 1, len(first["results"]), first["previous"]) == (True, 1, None)
    assert (first["next"] is None) == (first["count"] == 1)
    assert len(mine.get(path, {"page_size": 200}).json()["results"]) == first["count"]
    assert wrong_field(mine.get(path, {"page_size": 1000})) == [("page_size", "max_value")]
    assert mine.get(path, {"page": 999}).json()["code"] == "request.not_found"
    for wrong in ("0", "-1", "x", "1.5", "", "9" * 30):
        assert wrong_field(mine.get(path, {"page_size": wrong})) == [("page_size", "invalid")]
        assert wrong_field(mine.get(path, {"page": wrong})) == [("page", "invalid")]


def test_pages_follow_each_other_without_a_gap(mine: Client, everything: World) -> None:
    for number in range(5):
        RegisteredModel.objects.create(team=everything.team, name=f"net {number}")
    seen, path = [], "/api/v1/models/?page_size=2&ordering=name"
    while path:
        page = mine.get(path).json()
        seen += [row["name"] for row in page["results"]]
        path = page["next"]
    assert seen == ["net 0", "net 1", "net 2", "net 3", "net 4", "resnet"]


def test_a_list_of_models_leaves_out_what_may_be_long(mine: Client, everything: World) -> None:
    RegisteredModel.objects.filter(team=everything.team).update(readme="# Use")
    (row,) = mine.get("/api/v1/models/").json()["results"]
    whole = mine.get(f"/api/v1/models/{row['id']}/").json()
    assert whole == {**row, "readme": "# Use"}
    assert "readme" not in row


def test_a_page_has_two_hundred_rows_at_most(mine: Client, everything: World) -> None:
    LogEntry.objects.bulk_create(LogEntry(session=everything.session, message=str(n)) for n in range(205))
    path = f"/api/v1/sessions/{everything.session.pk}/log/"
    assert len(mine.get(path).json()["results"]) == 50
    assert len(mine.get(path, {"page_size": 200}).json()["results"]) == 200
    refused = mine.get(path, {"page_size": 201})
    assert wrong_field(refused) == [("page_size", "max_value")]
    assert "200 rows at most (given: 201)" in refused.json()["detail"]


@pytest.mark.parametrize("name", LISTS)
def test_a_parameter_that_a_list_does_not_have_is_refused(mine: Client, name: str) -> None:
    answer = mine.get(f"/api/v1/{name}/", {"stauts": "failed"})
    assert wrong_field(answer) == [("stauts", "unknown")]
    assert "page_size" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["steps", "candidates", "log"])
def test_so_it_is_with_the_lists_of_a_session(mine: Client, everything: World, name: str) -> None:
    answer = mine.get(f"/api/v1/sessions/{everything.session.pk}/{name}/", {"stauts": "failed"})
    assert wrong_field(answer) == [("stauts", "unknown")]


def test_so_it_is_with_the_techniques(mine: Client) -> None:
    assert wrong_field(mine.get("/api/v1/techniques/", {"page_size": 5})) == [("page_size", "unknown")]


def test_the_guide_says_how_many_rows_a_page_has(mine: Client, everything: World) -> None:
    guide = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert f"{Pages.page_size} rows by default and at most {Pages.max_page_size}" in guide
    assert "A larger `page_size` is refused" in guide


@pytest.mark.parametrize("name", LISTS)
def test_every_parameter_of_the_document_is_taken(mine: Client, contract: Contract, name: str) -> None:
    described = contract.document["paths"][f"/api/v1/{name}/"]["get"]["parameters"]
    for parameter in described:
        codes = [] if (answer := mine.get(f"/api/v1/{name}/", {parameter["name"]: "1"})).status_code == 200 else None
        assert codes == [] or "unknown" not in {code for _, code in wrong_field(answer)}


@pytest.mark.parametrize(("name", "parameter", "value"), WRONG_VALUES)
def test_a_wrong_value_names_its_parameter(mine: Client, name: str, parameter: str, value: str) -> None:
    answer = mine.get(f"/api/v1/{name}/", {parameter: value})
    assert [field for field, _ in wrong_field(answer)] == [parameter]


@pytest.mark.parametrize(("name", "field"), ORDERED.items())
def test_a_list_is_ordered_both_ways(mine: Client, everything: World, name: str, field: str) -> None:
    ModelVersion.objects.create(model=everything.model, number=2, blob=everything.version.blob, filename="b.onnx")
    path = f"/api/v1/{name}/"
    up = [row[field] for row in mine.get(path, {"ordering": field}).json()["results"]]
    down = [row[field] for row in mine.get(path, {"ordering": f"-{field}"}).json()["results"]]
    assert up == sorted(up)
    assert down == sorted(down, reverse=True)


@pytest.mark.parametrize("name", ORDERED)
def test_an_ordering_that_there_is_not_names_those_there_are(mine: Client, name: str) -> None:
    for wrong in ("colour", "-colour", "team__memberships__user__password"):
        answer = mine.get(f"/api/v1/{name}/", {"ordering": wrong})
        assert wrong_field(answer) == [("ordering", "invalid_choice")]
        assert ORDERED[name] in answer.json()["detail"]


def test_the_log_is_followed_from_where_one_was(mine: Client, everything: World) -> None:
    path = f"/api/v1/sessions/{everything.session.pk}/log/"
    last = mine.get(path).json()["results"][-1]["id"]
    everything.session.log.create(message="new")
    assert [line["message"] for line in mine.get(path, {"after": last}).json()["results"]] == ["new"]
    assert wrong_field(mine.get(path, {"after": "x"}))[0][0] == "after"


def test_what_is_not_known_yet_is_null_and_not_empty(mine: Client, everything: World) -> None:
    OptimizationSession.objects.update(outcome="")
    assert mine.get("/api/v1/sessions/").json()["results"][0]["outcome"] is None
