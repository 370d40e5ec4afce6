"""`lathe comment` against the portal in this process."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Callable

import pytest

from apps.accounts.models import Team, User
from apps.optimization.models import SessionComment
from lathe_client import commands
from tests.clients.in_process import portal_as
from tests.portal import world
from tests.portal.world import World

pytestmark = pytest.mark.portable
Lathe = Callable[..., tuple[int, str, str]]


@pytest.fixture
def everything(team: Team, owner: User) -> World:
    return world.build(team, owner)


@pytest.fixture
def as_member(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lathe:
    """The command of a member: its exit code, output and errors."""

    def run(user: User, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(commands, "portal", lambda options: portal_as(user))
        with pytest.raises(SystemExit) as ended:
            commands.main(arguments)
        said = capsys.readouterr()
        return int(str(ended.value.code)), said.out, said.err

    return run


def test_what_is_written_is_among_the_comments(as_member: Lathe, everything: World, engineer: User) -> None:
    session = str(everything.session.pk)
    code, out, told = as_member(engineer, "comment", session, "@olga, is **0.4 ≤ 1 points** all right?")
    assert code == 0, told
    written = SessionComment.objects.get(pk=int(out))
    assert (written.author, written.session) == (engineer, everything.session)
    code, out, _ = as_member(engineer, "comment", session)
    first, second = json.loads(out)
    assert (code, first["id"], second["id"]) == (0, everything.comment.pk, written.pk)
    assert (second["author"], second["text"]) == (engineer.email, "@olga, is **0.4 ≤ 1 points** all right?")


def test_a_text_may_come_from_the_input(
    as_member: Lathe, everything: World, engineer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("One line.\n\nAnother.\n"))
    code, out, told = as_member(engineer, "comment", str(everything.session.pk), "-")
    assert code == 0, told
    assert SessionComment.objects.get(pk=int(out)).text == "One line.\n\nAnother."


def test_the_comments_of_one_session_are_not_those_of_another(
    as_member: Lathe, everything: World, engineer: User
) -> None:
    other = world.finished_session(everything.version, everything.dataset, everything.criteria, engineer)
    code, out, _ = as_member(engineer, "comment", str(other.pk))
    assert (code, json.loads(out)) == (0, [])


@pytest.mark.parametrize("text", [None, "Seen."], ids=["read", "write"])
def test_a_session_that_is_not_ones_own_is_refused(
    as_member: Lathe, everything: World, stranger: User, text: str | None
) -> None:
    words = () if text is None else (text,)
    for session in (everything.session.pk, uuid.uuid4()):
        assert as_member(stranger, "comment", str(session), *words)[0] == 3
    assert SessionComment.objects.get() == everything.comment


def test_a_viewer_writes_none_and_nobody_writes_an_empty_one(
    as_member: Lathe, everything: World, viewer: User, engineer: User
) -> None:
    session = str(everything.session.pk)
    assert as_member(viewer, "comment", session)[0] == 0
    code, _, told = as_member(viewer, "comment", session, "Seen.")
    assert (code, "access.role_needed" in told or "permission" in told.lower()) == (3, True), told
    code, _, told = as_member(engineer, "comment", session, " \n")
    assert (code, "A comment needs a text." in told) == (3, True)
    assert SessionComment.objects.get() == everything.comment
