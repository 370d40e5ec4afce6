"""Actions of the palette: those that a member may take with what the page shows, and no others."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Membership, Role, Team, User
from apps.accounts.services import create_team
from apps.agents.contracts.state import Outcome, Status
from apps.models.models import ModelVersion
from apps.models.services import move_alias
from apps.notifications.models import BellEntry
from apps.optimization.models import OptimizationSession
from tests.portal import world
from tests.portal.world import World

pytestmark = pytest.mark.django_db
HERE, ANYWHERE = "On this page", "Actions"


@pytest.fixture
def everything(team: Team, owner: User) -> World:
    return world.build(team, owner)


@pytest.fixture
def ask(client: Client) -> Any:
    """Opens the palette on a page: the titles by group."""

    def asked(user: User, page: str, words: str = "") -> dict[str, list[str]]:
        client.force_login(user)
        headers = {"HX-Request": "true", "HX-Current-URL": f"http://testserver{page}"}
        html = client.get("/find/", {"search": words}, headers=headers).content.decode()
        groups = re.split(r'<div role="group" aria-label="([^"]+)">', html)[1:]
        return {
            name: re.findall(r"<span>([^<]+)</span>", body)
            for name, body in zip(groups[::2], groups[1::2], strict=True)
        }

    return asked


def of(session: OptimizationSession, **fields: object) -> str:
    OptimizationSession.objects.filter(pk=session.pk).update(**fields)
    return session.get_absolute_url()


MOVES = ("Resume this session", "Start this session over", "Cancel this session", "Delete this session")


@pytest.mark.parametrize(
    ("fields", "offered"),
    [
        ({"status": Status.RUNNING}, [2]),
        ({"status": Status.COMPLETED}, [3]),
        ({"status": Status.FAILED}, [0, 1, 3]),
        ({"status": Status.CANCELLED}, [0, 1, 3]),
    ],
)
def test_what_is_offered_follows_the_state_of_the_session(
    ask: Any, everything: World, engineer: User, fields: dict[str, Any], offered: list[int]
) -> None:
    page = of(everything.session, verdict=None, outcome="", **fields)
    found = ask(engineer, page)[HERE]
    assert [title for title in found if title in MOVES] == [MOVES[number] for number in offered]
    assert found[0] == "Again with…", "Enter alone changes nothing"


def test_a_winner_is_promoted_unless_production_points_at_it(ask: Any, everything: World, engineer: User) -> None:
    page = everything.session.get_absolute_url()
    promotion = "Promote to production"
    assert promotion in ask(engineer, page)[HERE]
    assert promotion not in ask(engineer, of(everything.session, outcome=Outcome.UNCHANGED))[HERE]
    of(everything.session, outcome=Outcome.IMPROVED)
    result = ModelVersion.objects.create(model=everything.model, number=2, blob=everything.version.blob, status="ready")
    of(everything.session, result_version=result)
    assert promotion in ask(engineer, page)[HERE]
    move_alias(everything.model, "production", result, engineer, "better")
    found = ask(engineer, page)[HERE]
    assert promotion not in found
    assert "Roll back production" in found


def test_a_viewer_is_offered_nothing_that_is_refused(ask: Any, everything: World, viewer: User) -> None:
    assert ask(viewer, everything.session.get_absolute_url())[HERE] == ["Read the report"]
    assert HERE not in ask(viewer, everything.model.get_absolute_url())
    assert HERE not in ask(viewer, everything.dataset.get_absolute_url())
    assert ask(viewer, everything.version.get_absolute_url())[HERE] == ["Download this version"]
    assert "Take the tour" not in ask(viewer, "/")[ANYWHERE]


def test_pages_of_another_team_offer_nothing(ask: Any, everything: World, stranger: User) -> None:
    for row in (everything.session, everything.model, everything.dataset, everything.version):
        assert HERE not in ask(stranger, row.get_absolute_url())


def test_rows_offer_what_can_be_done_with_them(ask: Any, everything: World, engineer: User) -> None:
    assert ask(engineer, everything.model.get_absolute_url())[HERE] == ["Add a version"]
    assert ask(engineer, everything.dataset.get_absolute_url())[HERE] == ["Use this data set"]
    assert ask(engineer, everything.version.get_absolute_url())[HERE][0] == "Optimize this version"
    assert ask(engineer, f"{everything.session.get_absolute_url()}layers/")[HERE][0] == "Read the report"


@pytest.mark.parametrize("page", ["/", "/nowhere/", "/sessions/new/", "http://[", "/models/999999/", "/sessions/x/"])
def test_other_pages_offer_what_can_be_done_anywhere(ask: Any, everything: World, owner: User, page: str) -> None:
    found = ask(owner, page)
    assert HERE not in found
    assert {"Mark all notifications as read", "Create an API token", "Light or dark", "Log out"} <= set(found[ANYWHERE])


def test_notifications_are_marked_only_if_some_are_unread(ask: Any, client: Client, everything: World) -> None:
    owner = everything.entry.user
    assert "Mark all notifications as read" in ask(owner, "/")[ANYWHERE]
    client.post("/notifications/read/", {"all": "1"})
    assert not BellEntry.objects.unread().exists()
    assert "Mark all notifications as read" not in ask(owner, "/")[ANYWHERE]


def test_other_teams_and_languages_are_one_action_each(ask: Any, everything: World, owner: User) -> None:
    create_team("First by name", owner)
    found = ask(owner, "/")[ANYWHERE]
    assert [title for title in found if title.startswith("Work in")] == [f"Work in {everything.team}"]
    assert [title for title in found if title.startswith("Language")] == ["Language: Deutsch"]


def test_after_words_pages_come_before_actions(ask: Any, everything: World, owner: User) -> None:
    """Enter after a page's name opens that page, whatever can be done here."""
    page = everything.session.get_absolute_url()
    assert list(ask(owner, page, "session"))[:2] == ["Pages", HERE]
    found = ask(owner, page, "delete this")
    assert next(iter(found)) == HERE
    assert found[HERE] == ["Delete this session"]


def test_what_cannot_be_undone_is_asked_first(client: Client, everything: World, engineer: User) -> None:
    client.force_login(engineer)
    headers = {"HX-Request": "true", "HX-Current-URL": f"http://testserver{everything.session.get_absolute_url()}"}
    html = client.get("/find/", headers=headers).content.decode()
    buttons = re.findall(r"<button form=[^>]+>", html)
    for address in ("promote/", "delete/"):
        [button] = [one for one in buttons if f'{address}"' in one]
        assert "data-confirm=" in button


def test_each_offered_request_is_accepted(client: Client, everything: World, owner: User) -> None:
    """With CSRF checks on, as the form of the palette sends it; the last one deletes the session."""
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(owner)
    page = everything.session.get_absolute_url()
    headers = {"HX-Request": "true", "HX-Current-URL": f"http://testserver{page}"}
    html = strict.get("/find/", headers=headers).content.decode()
    token = re.search(
        r'id="palette-action" hidden><input type="hidden" name="csrfmiddlewaretoken" value="(\w+)"',
        strict.get(page).content.decode(),
    )
    assert token
    asked = re.findall(r'<button form="palette-action" formaction="([^"]+)"(?: name="(\w+)" value="([^"]+)")?', html)
    assert len(asked) >= 5
    for address, name, value in sorted(asked, key=lambda one: "logout" in one[0]):
        assert strict.post(address, {name: value} if name else {}).status_code == 403
        body = {"csrfmiddlewaretoken": token[1], **({name: value} if name else {})}
        assert strict.post(address, body).status_code == 302, address
    assert not OptimizationSession.objects.filter(pk=everything.session.pk).exists()
    owner.refresh_from_db()
    assert owner.language == "de"


def test_the_page_of_the_search_has_actions_too(client: Client, everything: World, owner: User) -> None:
    client.force_login(owner)
    html = client.get("/find/", {"search": "mark all notifications"}).content.decode()
    assert 'formaction="/notifications/read/" name="all" value="1"' in html
    assert "Nothing matches" not in html


def test_a_member_chooses_a_language_that_exists(client: Client, owner: User) -> None:
    client.force_login(owner)
    answer = client.post("/language/", {"language": "xx"})
    assert answer.status_code == 422
    assert "xx" in answer.content.decode()
    owner.refresh_from_db()
    assert owner.language == ""
    assert client.get("/language/").status_code == 405
    answer = client.post("/language/", {"language": "de"}, headers={"Referer": "http://testserver/models/"})
    assert answer["Location"].endswith("/models/")
    owner.refresh_from_db()
    assert owner.language == "de"


def test_the_role_in_the_team_of_the_session_counts(ask: Any, everything: World, stranger: User) -> None:
    """Who owns another team is a viewer here."""
    Membership.objects.create(team=everything.team, user=stranger, role=Role.VIEWER)
    assert ask(stranger, everything.session.get_absolute_url())[HERE] == ["Read the report"]
