"""Lists as CSV files: with the filters of the page, of one's own team, and nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.audit import trail
from apps.models.models import RegisteredModel
from apps.tables import csv_of
from tests.portal import world
from tests.portal.world import World

pytestmark = pytest.mark.django_db
LISTS = {
    "/sessions/": ("model", "resnet"),
    "/models/": ("name", "resnet"),
    "/datasets/": ("name", "test images"),
    "/criteria/": ("name", "ours"),
    "/audit/": ("action", "session.started"),
    "/notifications/deliveries/": ("title", "resnet v1: done"),
}


@pytest.fixture
def everything(team, owner: User) -> World:
    return world.build(team, owner)


def rows(client: Client, path: str, **query: str) -> list[dict[str, str]]:
    response = client.get(path, {"export": "csv", **query})
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"].startswith("attachment; filename=")
    return list(csv.DictReader(io.StringIO(response.getvalue().decode("utf-8-sig"))))


@pytest.mark.parametrize("path", LISTS)
def test_a_list_is_a_file(client: Client, everything: World, owner: User, path: str) -> None:
    client.force_login(owner)
    column, value = LISTS[path]
    assert value in [row[column] for row in rows(client, path)]
    assert "export=csv" in client.get(path).content.decode()


@pytest.mark.parametrize("path", LISTS)
def test_another_team_s_rows_are_not_in_it(client: Client, everything: World, stranger: User, path: str) -> None:
    client.force_login(stranger)
    column, value = LISTS[path]
    assert value not in [row[column] for row in rows(client, path)]


def test_the_filters_of_the_page_hold(client: Client, everything: World, owner: User) -> None:
    client.force_login(owner)
    assert len(rows(client, "/sessions/", status="completed")) == 1
    assert not rows(client, "/sessions/", status="failed")
    assert not rows(client, "/models/", search="zebra")
    assert (
        'href="?status=completed&amp;export=csv"' in client.get("/sessions/?status=completed&page=1").content.decode()
    )


def test_events_are_narrowed_by_kind_and_day(client: Client, everything: World, owner: User) -> None:
    trail.record("candidate.accepted", actor="EvaluationAgent", session=everything.session, reason="holds")
    client.force_login(owner)
    assert {row["actor_kind"] for row in rows(client, "/audit/", kind="agent")} == {"agent"}
    assert "EvaluationAgent" not in client.get("/audit/", {"kind": "user"}).content.decode()
    assert rows(client, "/audit/", **{"from": "2020-01-01", "to": "2100-01-01"})
    assert not rows(client, "/audit/", to="2020-01-01")
    assert len(rows(client, "/audit/", **{"from": "no day", "kind": "nobody"})) == len(rows(client, "/audit/"))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "＝1+1", "＠x"])
def test_no_text_is_a_formula(text: str) -> None:
    response = csv_of("list", {"name": lambda row: row}, [text])
    assert next(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"), newline="")))["name"] == f"'{text}"


def test_numbers_times_and_lists_are_written_for_programs() -> None:
    at = datetime(2026, 11, 27, 9, 30, tzinfo=UTC)
    columns = {str(index): lambda row, index=index: row[index] for index in range(4)}
    response = csv_of("list", columns, [(-1.5, at, ["a", "b"], None)])
    assert response.content.decode("utf-8-sig").splitlines()[1] == "-1.5,2026-11-27T09:30:00+00:00,a b,"


def test_a_file_is_read_in_portions_and_goes_on_where_rows_are_deleted_meanwhile(
    client: Client, everything: World, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("alpha", "beta", "gamma"):
        RegisteredModel.objects.create(team=everything.team, name=name)
    monkeypatch.setattr("apps.tables.AT_ONCE", 1)
    client.force_login(owner)
    pieces = iter(client.get("/models/", {"export": "csv"}).streaming_content)
    first = [next(pieces).decode("utf-8-sig"), next(pieces).decode()]
    assert [one.split(",")[:2] for one in first] == [["id", "name"], [first[1].split(",")[0], "alpha"]]
    RegisteredModel.objects.filter(name="beta").delete()
    assert [piece.decode().split(",")[1] for piece in pieces] == ["gamma", "resnet"]


def test_a_list_that_is_too_long_is_refused_whole(
    client: Client, everything: World, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.tables.LONGEST", 0)
    client.force_login(owner)
    response = client.get("/models/", {"export": "csv"})
    assert response.status_code == 422
    assert "list.too_long" in response.content.decode()


def test_a_file_takes_few_queries(
    client: Client, everything: World, owner: User, django_assert_max_num_queries
) -> None:
    client.force_login(owner)
    for path in LISTS:
        with django_assert_max_num_queries(16):
            rows(client, path)
