"""Lists in the order of a column: on pages, over pages, with filters, in files, and over the API."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import SavedFilter, Team, User
from apps.agents.contracts.state import Status
from apps.listings import Column, Kind, Listing, heads, in_order
from apps.models.models import RegisteredModel
from apps.optimization.models import OptimizationSession
from tests.portal import world
from tests.portal.world import World

pytestmark = pytest.mark.django_db
API = "/api/v1/sessions/"


@pytest.fixture
def everything(team: Team, owner: User) -> World:
    return world.build(team, owner)


@pytest.fixture
def sessions(everything: World) -> list[OptimizationSession]:
    """Thirty, of which every third has no gains; the gains repeat, so that many are equal."""
    first, now = everything.session, timezone.now()
    made = []
    for number in range(30):
        row = OptimizationSession.objects.get(pk=first.pk)
        row.pk, row.created_at = UUID(int=number + 1), now - timedelta(minutes=number)
        row.speedup = None if number % 3 == 0 else float(number % 4)
        row.status = Status.FAILED if number % 2 else Status.COMPLETED
        row.save(force_insert=True)
        made.append(row)
    first.delete()
    return made


@pytest.fixture
def browser(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


def on_pages(client: Client, **query: str) -> list[OptimizationSession]:
    found: list[OptimizationSession] = []
    for number in (1, 2):
        found += client.get("/sessions/", {**query, "page": number}).context["page"].object_list
    return found


@pytest.mark.parametrize("ordering", ["speedup", "-speedup"])
def test_what_is_not_known_comes_last_and_no_row_is_on_two_pages(
    browser: Client, sessions: list[OptimizationSession], ordering: str
) -> None:
    found = on_pages(browser, ordering=ordering)
    assert len({row.pk for row in found}) == len(found) == len(sessions)
    known = [row.speedup for row in found if row.speedup is not None]
    assert [row.speedup for row in found[len(known) :]] == [None] * 10
    assert known == sorted(known, reverse=ordering.startswith("-"))
    assert found == sorted(
        found,
        key=lambda row: (row.speedup is None, (row.speedup or 0) * (-1 if ordering[0] == "-" else 1), row.pk),
    ), "equal ones follow their keys"


def test_a_further_name_orders_what_is_equal(browser: Client, sessions: list[OptimizationSession]) -> None:
    found = on_pages(browser, ordering="status,-created_at")
    assert found == sorted(found, key=lambda row: (row.status, -row.created_at.timestamp()))


def test_filters_and_the_file_keep_the_order(browser: Client, sessions: list[OptimizationSession]) -> None:
    query = {"status": "failed", "ordering": "-speedup"}
    shown = browser.get("/sessions/", query)
    html = shown.content.decode()
    assert 'href="?status=failed&amp;ordering=-speedup&amp;export=csv"' in html
    assert 'href="?status=failed&amp;ordering=speedup"' in html, "a press on the head turns the order around"
    response = browser.get("/sessions/", {**query, "export": "csv"})
    rows = list(csv.DictReader(io.StringIO(response.getvalue().decode("utf-8-sig"))))
    assert [row["id"] for row in rows] == [str(row.pk) for row in shown.context["page"].object_list]
    assert len(rows) == 15


def test_a_press_on_a_head_leads_to_the_first_page(browser: Client, sessions: list[OptimizationSession]) -> None:
    html = browser.get("/sessions/", {"page": "2"}).content.decode()
    assert 'id="order-model" href="?ordering=model"' in html
    assert 'href="?page=1"' in html


def test_an_order_is_saved_with_the_filter_and_is_one_by_itself(
    browser: Client, sessions: list[OptimizationSession]
) -> None:
    for name, query in (("Fastest", "ordering=-speedup&page=2"), ("Failed", "status=failed&ordering=created_at")):
        browser.post("/lists/sessions/filters/", {"name": name, "query": query})
    saved = SavedFilter.objects.get(name="Fastest")
    assert saved.query == "ordering=-speedup"
    shown = browser.get(f"/sessions/?{saved.query}")
    assert 'aria-current="true">Fastest</a>' in shown.content.decode()
    same = browser.get(f"{API}?{saved.query}")
    assert [row["id"] for row in same.json()["results"][:25]] == [str(row.pk) for row in shown.context["page"]]


def test_the_api_takes_the_names_of_the_page_and_refuses_others(
    browser: Client, sessions: list[OptimizationSession]
) -> None:
    for name in ("model", "dataset", "objective", "status", "speedup", "size_ratio", "finished_at", "created_by"):
        for ordering in (name, f"-{name}"):
            answer = browser.get(API, {"ordering": ordering})
            shown = [str(row.pk) for row in on_pages(browser, ordering=ordering)]
            assert [row["id"] for row in answer.json()["results"]] == shown, ordering
    wrong = browser.get(API, {"ordering": "colour"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "ordering")
    assert "speedup" in wrong.json()["detail"]


@pytest.mark.parametrize(
    "ordering", ["colour", "-", "", ",", "team__memberships__user__password", "--speedup", "a\x00"]
)
def test_a_page_passes_over_an_order_that_it_does_not_know(
    browser: Client, sessions: list[OptimizationSession], ordering: str
) -> None:
    shown = browser.get("/sessions/", {"ordering": ordering})
    assert shown.context["page"].object_list == sessions[:25]
    assert 'aria-sort="descending"><a id="order-started"' in shown.content.decode()


def test_pages_of_the_api_do_not_overlap_where_rows_are_equal(
    browser: Client, sessions: list[OptimizationSession]
) -> None:
    OptimizationSession.objects.update(created_at=timezone.now())
    for query in ({}, {"ordering": "created_at"}, {"ordering": "-status"}):
        pages = [browser.get(API, {**query, "page_size": 7, "page": number}).json() for number in range(1, 6)]
        seen = [row["id"] for page in pages for row in page["results"]]
        assert len(set(seen)) == len(seen) == len(sessions)


def test_models_are_ordered_by_what_their_newest_version_has(browser: Client, everything: World) -> None:
    RegisteredModel.objects.create(team=everything.team, name="empty")
    for ordering in ("size_bytes", "-size_bytes", "parameters", "-newest_version_at", "model_format"):
        page = browser.get("/models/", {"ordering": ordering}).context["page"]
        assert [one.name for one in page] == ["resnet", "empty"], f"{ordering}: what is not known comes last"
    for ordering, first in (("versions", "empty"), ("-versions", "resnet"), ("name", "empty"), ("-name", "resnet")):
        page = browser.get("/models/", {"ordering": ordering}).context["page"]
        assert page[0].name == first, ordering


def test_layers_are_ordered_both_ways(browser: Client, everything: World) -> None:
    path = f"/sessions/{everything.session.pk}/layers/"

    def times(ordering: str) -> list[float]:
        lines = browser.get(path, {"ordering": ordering}).context["lines"]
        return [line.layer.time_ms for line in lines if line.layer.time_ms is not None]

    assert times("time") == sorted(times("")) == times("-time")[::-1]
    assert times("time") != times("-time")


def test_texts_begin_with_the_smallest_and_numbers_with_the_largest() -> None:
    columns = (
        Column("name", "Name", ordering="name"),
        Column("size", "Size", ordering="size", kind=Kind.NUMBER),
        Column("tags", "Tags"),
    )
    listing = Listing("things", "page", "part", columns, usual="")
    assert [one.turned for one in heads(listing, ["size", "tags"], "")] == ["name", "-size", ""]
    assert [one.state for one in heads(listing, ["size"], "-size")] == ["none", "descending"]
    assert [one.turned for one in heads(listing, ["size"], "-size")] == ["name", "size"]


def test_a_column_that_is_never_empty_is_ordered_as_its_index(everything: World) -> None:
    """A word about what is not known would keep PostgreSQL from using the index."""
    from apps.optimization.columns import LIST_OF_SESSIONS

    assert "NULLS" not in str(in_order(OptimizationSession.objects.all(), LIST_OF_SESSIONS, "").query)
    assert "NULLS LAST" in str(in_order(OptimizationSession.objects.all(), LIST_OF_SESSIONS, "speedup").query)


def test_a_session_takes_over_the_gains_of_the_candidate_that_is_selected(everything: World) -> None:
    session: Any = everything.session
    report = session.candidates.get(key="c01").evaluation
    assert (session.speedup, session.size_ratio) == (report.speedup, report.size_ratio)
    session.candidates.update(status="accepted")
    session.keep_gains()
    session.refresh_from_db()
    assert (session.speedup, session.size_ratio) == (None, None)
