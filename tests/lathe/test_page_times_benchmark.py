"""The benchmark of one person's pages reads and writes down what servers answer. That it runs is seen by running it."""

from __future__ import annotations

import pytest
from django.db import connection
from django.http import HttpRequest, HttpResponse

from apps.accounts.models import Team
from benchmarks.page_times.__main__ import found_of
from benchmarks.page_times.asking import Answers
from benchmarks.page_times.server_timing import HEADER, ServerTiming, count_on, read

pytestmark = pytest.mark.django_db


def test_an_answer_says_what_it_cost() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        list(Team.objects.all())
        return HttpResponse(str(Team.objects.count()))

    count_on(connection)
    try:
        cost = read(ServerTiming(view)(HttpRequest()).headers[HEADER])
    finally:
        connection.execute_wrappers.pop()
    assert cost["queries"] == 2
    assert cost["total"] >= cost["sql"] > 0
    with pytest.raises(ValueError, match="no answer of a server"):
        read("total;dur=1")


def answers(ms: float, queries: int) -> Answers:
    return Answers(
        server_ms=[1.0, ms], cpu_ms=[1.0, 1.0], sql_ms=[0.5, 0.5], queries=[queries, queries], sent_bytes=[9_000] * 2
    )


def test_the_slowest_page_comes_first_and_breaks_the_claim() -> None:
    pages = {"dashboard": answers(20.0, 4), "report": answers(140.0, 21)}
    found = found_of(pages, {"report": [300.0, 200.0, 100.0]}, "SQLite")
    assert [row.holds for row in found.rows] == [False, False, True]
    assert "(report)" in found.rows[0].claim
    assert found.tables[0].lines[0] == ("report", "1", "140", "1", "21", "0.5", "9", "200")
    assert [line[0] for line in found.tables[0].lines] == ["report", "dashboard"]
