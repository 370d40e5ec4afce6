"""Comments on a session: safe Markdown, live on the page, and mentions that reach the member."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Role, Team, User
from apps.audit.models import AuditEvent
from apps.notifications.models import BellEntry, Delivery
from apps.optimization import live, services
from apps.optimization.models import OptimizationSession, SessionComment
from apps.optimization.services.comments import mentioned_in
from tests.people import made_person
from tests.portal import world

pytestmark = pytest.mark.django_db
API = "/api/v1/comments/"


@pytest.fixture
def session(team: Team, owner: User, engineer: User, viewer: User) -> OptimizationSession:
    made = world.build(team, owner)
    made.comment.delete()
    return made.session


def told(kind: str = "comment.mentioned") -> list[tuple[str, str]]:
    rows = BellEntry.objects.filter(notification__kind=kind).order_by("pk")
    return [(one.user.email, one.notification.title) for one in rows]


def page_of(session: OptimizationSession) -> str:
    return f"/sessions/{session.pk}/"


def test_a_comment_is_written_changed_and_deleted_on_the_page(
    client: Client, session: OptimizationSession, engineer: User
) -> None:
    client.force_login(engineer)
    answer = client.post(f"{page_of(session)}comments/", {"text": "Is **0.4 points** all right?"}, follow=True)
    assert "Is <strong>0.4 points</strong> all right?" in answer.content.decode()
    comment = SessionComment.objects.get()
    own = f"{page_of(session)}comments/{comment.pk}/"
    assert "all right?</textarea>" in client.get(f"{own}edit/").content.decode()
    edited = client.post(f"{own}edit/", {"text": "It is."}, follow=True).content.decode()
    assert "It is." in edited
    assert ", edited " in edited
    assert client.post(f"{own}delete/").status_code == 302
    assert "Nobody has said anything" in client.get(page_of(session)).content.decode()
    events = AuditEvent.objects.filter(session=session.pk, action__startswith="comment.").in_order()
    assert [one.action for one in events] == ["comment.written", "comment.edited", "comment.deleted"]
    assert not any("all right" in f"{one.reason}{one.data}{one.subject}" for one in events)


def test_only_its_author_changes_it(client: Client, session: OptimizationSession, owner: User, engineer: User) -> None:
    comment = services.comment_write(session, engineer, "Mine.")
    client.force_login(owner)
    own = f"{page_of(session)}comments/{comment.pk}/"
    assert f'id="comment-edit-{comment.pk}"' not in client.get(page_of(session)).content.decode()
    assert client.get(f"{own}edit/").status_code == 403
    assert client.post(f"{own}delete/").status_code == 403
    answer = client.patch(f"{API}{comment.pk}/", {"text": "Yours."}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "comment.of_another")


def test_a_comment_runs_nothing(client: Client, session: OptimizationSession, engineer: User) -> None:
    services.comment_write(session, engineer, "<script>alert(1)</script> [x](javascript:alert(1)) \x00")
    client.force_login(engineer)
    html = client.get(page_of(session)).content.decode()
    assert "<script>alert" not in html
    assert 'href="javascript' not in html


def test_an_empty_or_endless_comment_comes_back(client: Client, session: OptimizationSession, engineer: User) -> None:
    client.force_login(engineer)
    for text in ("  ", "x" * 10_001):
        answer = client.post(f"{page_of(session)}comments/", {"text": text})
        assert answer.status_code == 422
        assert 'aria-invalid="true"' in answer.content.decode()
    assert not SessionComment.objects.exists()


def test_who_is_mentioned_is_told_once(session: OptimizationSession, owner: User, engineer: User, viewer: User) -> None:
    comment = services.comment_write(session, engineer, "@olga and @olga: look. @nobody, @emil")
    title = f"resnet v1: {engineer.email} mentions you in a comment"
    assert told() == [(owner.email, title)], "nobody is told of what they did themselves"
    assert Delivery.objects.filter(notification__kind="comment.mentioned", channel__user=owner).exists()
    entry = BellEntry.objects.get(notification__kind="comment.mentioned")
    assert entry.notification.path == f"{page_of(session)}#comment-{comment.pk}"
    services.comment_edit(comment, engineer, "@olga and @vera@example.org: look.")
    assert told() == [(owner.email, title), (viewer.email, title)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("@olga", ["olga"]),
        ("(@Olga, @EMIL.)", ["olga", "emil"]),
        ("write to olga@example.org", []),
        ("@olga@example.org!", ["olga"]),
        ("@olga@elsewhere.org", []),
        ("https://example.org/@olga", []),
        ("@sven is of another team", []),
        ("@", []),
    ],
)
def test_what_is_a_mention(
    team: Team, owner: User, engineer: User, stranger: User, text: str, names: list[str]
) -> None:
    assert [one.email.partition("@")[0] for one in mentioned_in(text, team)] == names


def test_a_name_that_two_share_needs_the_whole_address(team: Team, owner: User) -> None:
    other = made_person("olga@example.com", team, Role.VIEWER)
    assert mentioned_in("@olga", team) == []
    assert mentioned_in("@olga@example.com", team) == [other]


def test_an_open_page_shows_it_with_buttons_for_its_author(
    session: OptimizationSession, engineer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    poked: list[Any] = []
    monkeypatch.setattr("apps.optimization.events.poke", poked.append)
    comment = services.comment_write(session, engineer, "Hello.")
    assert poked == [session]
    mine = live.fragments(session, writes=True, reader_id=engineer.pk)["comments"]
    others = live.fragments(session, writes=True, reader_id=0)["comments"]
    assert "Hello." in mine
    assert "Hello." in others
    assert f'id="comment-delete-{comment.pk}"' in mine
    assert f'id="comment-delete-{comment.pk}"' not in others


def test_a_report_is_about_the_result_and_not_about_what_was_said(session: OptimizationSession, engineer: User) -> None:
    services.comment_write(session, engineer, "@olga")
    assert {line.action for line in services.report(session).decisions} == {"session.started"}


def test_the_api_writes_lists_changes_and_deletes(client: Client, session: OptimizationSession, engineer: User) -> None:
    client.force_login(engineer)
    made = client.post(API, {"session": str(session.pk), "text": "A"}, content_type="application/json").json()
    assert client.patch(f"{API}{made['id']}/", {"text": "B"}, content_type="application/json").status_code == 200
    (row,) = client.get(API, {"session": str(session.pk)}).json()["results"]
    assert (row["text"], row["author"]) == ("B", engineer.email)
    assert client.delete(f"{API}{made['id']}/").status_code == 204
    assert client.get(API).json()["results"] == []
