"""The log: text on a terminal, JSON with ids elsewhere, and one id for each request."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
from django.http import HttpResponse
from django.test import AsyncRequestFactory, Client

from apps.ids import bind_ids, bound_ids, carried_ids, clear_ids, present_ids
from lathe import logs
from lathe.env import Environment, WrongVariable
from lathe.logs import HEADER, RequestIds


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the log's JSON handler writes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.json_lines())
    loggers = [logging.getLogger(), logging.getLogger("django")]
    for logger in loggers:
        logger.addHandler(handler)
    yield stream
    for logger in loggers:
        logger.removeHandler(handler)


def lines(stream: io.StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def formatter(form: str) -> str:
    return logs.configuration("INFO", form)["handlers"]["console"]["formatter"]


@pytest.mark.parametrize(
    ("form", "terminal", "expected"),
    [("auto", True, "text"), ("auto", False, "json"), ("json", True, "json"), ("text", False, "text")],
)
def test_a_terminal_gets_text_unless_the_operator_says_otherwise(monkeypatch, form, terminal, expected):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert formatter(form) == expected


def test_another_form_is_refused():
    with pytest.raises(WrongVariable, match=r"LATHE_LOG_FORMAT is 'xml', .* one of auto, text, json"):
        Environment.read({"LATHE_LOG_FORMAT": "xml"})


def test_a_record_is_one_line_with_its_ids_and_its_traceback(written):
    with bound_ids(session="s1", step="evaluate/c01", candidate=""):
        try:
            _ = 1 / 0
        except ZeroDivisionError:
            logging.getLogger("apps.test").exception("It broke:\n%s", "“here”")
    (line,) = lines(written)
    assert line["message"] == "It broke:\n“here”"
    assert (line["level"], line["logger"], line["session"]) == ("error", "apps.test", "s1")
    assert line["step"] == "evaluate/c01"
    assert "candidate" not in line
    assert "ZeroDivisionError" in line["exception"]
    assert line["timestamp"].endswith("Z")


def test_ids_end_with_their_block():
    with bound_ids(step="a"):
        assert present_ids() == {"step": "a"}
    assert present_ids() == {}


def test_a_message_takes_along_what_still_holds_there():
    bind_ids(request="r", team=3, session="s", step="x", worker="w")
    assert carried_ids() == {"request": "r", "team": "3", "session": "s"}
    clear_ids()


@pytest.mark.django_db
def test_a_request_has_an_id_of_its_own_in_log_and_answer(client: Client, owner, written):
    client.force_login(owner)
    answers = [client.get("/nowhere/", headers={HEADER: "forged"}) for _ in range(2)]
    given = [answer[HEADER] for answer in answers]
    assert len(set(given)) == 2
    assert "forged" not in given
    logged = [line["request"] for line in lines(written) if line["message"] == "Not Found: /nowhere/"]
    assert logged == given


@pytest.mark.django_db
def test_the_team_is_known_once_a_page_asks_for_it(client: Client, owner, team, written):
    client.force_login(owner)
    client.get("/sessions/")
    assert present_ids()["team"] == str(team.pk)
    client.get("/health/")
    assert "team" not in present_ids()


def test_requests_at_the_same_time_do_not_share_ids():
    async def view(request):
        await asyncio.sleep(0.01)
        return HttpResponse(present_ids()["request"])

    async def story() -> list[HttpResponse]:
        middleware, make = RequestIds(view), AsyncRequestFactory().get
        return await asyncio.gather(*(middleware(make("/")) for _ in range(5)))

    answers = asyncio.run(story())
    assert len({answer[HEADER] for answer in answers}) == 5
    assert all(answer.content.decode() == answer[HEADER] for answer in answers)
