"""What the command says and returns when a promotion needs a second member, against a portal that only answers."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator

import httpx
import pytest

from lathe_client import client, commands
from lathe_client.client import Lathe

pytestmark = pytest.mark.portable
ASKED = {"id": 7, "alias": "production", "from_number": 2, "to_number": 3, "version": 31, "status": "pending"}
MOVED = {"alias": "production", "version": 31, "number": 3}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, dict[str, object]]]]:
    """What the portal answers, in this order."""
    given: list[tuple[int, dict[str, object]]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        status, body = given.pop(0)
        return httpx.Response(status, content=json.dumps(body))

    monkeypatch.setattr(client, "POLL_S", 0.0)
    transport = httpx.MockTransport(answer)
    monkeypatch.setattr(commands, "portal", lambda options: Lathe("https://lathe.test", "token", transport=transport))
    yield given
    assert given == []


def promote(*, watch: bool = False) -> int:
    return commands.promote(Namespace(session="0b2c", alias="production", watch=watch))


def test_a_promotion_that_moved_the_alias_is_a_success(answers: list, capsys: pytest.CaptureFixture[str]) -> None:
    answers.append((200, MOVED))
    assert promote() == 0
    assert capsys.readouterr().out == "production points at version 3 (31).\n"


def test_a_promotion_that_waits_has_a_code_of_its_own(answers: list, capsys: pytest.CaptureFixture[str]) -> None:
    answers.append((202, ASKED))
    assert promote() == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert "production is protected, so it still points at version 2" in said.err
    assert "request 7" in said.err
    assert "https://lathe.test/approvals/" in said.err


@pytest.mark.parametrize(
    ("decision", "code", "told"),
    [
        ({"status": "approved", "decided_by": "olga@example.org", "decision": "fine"}, 0, "points at version 3 (31)."),
        (
            {"status": "rejected", "decided_by": "olga@example.org", "decision": "Too slow."},
            1,
            "was not moved: rejected by olga@example.org. Too slow.",
        ),
        ({"status": "withdrawn", "decided_by": None, "decision": ""}, 1, "was not moved: withdrawn."),
    ],
)
def test_the_decision_can_be_waited_for(
    answers: list, capsys: pytest.CaptureFixture[str], decision: dict[str, object], code: int, told: str
) -> None:
    answers += [(202, ASKED), (200, ASKED), (200, ASKED | decision)]
    assert promote(watch=True) == code
    assert told in capsys.readouterr().out
