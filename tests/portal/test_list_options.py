"""Filters under a name, for oneself or the team, and columns to choose: on the pages of lists and in the API."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts import saved_filters
from apps.accounts.models import SavedFilter, User
from apps.audit.models import AuditEvent
from apps.listings import offered
from apps.models.models import AliasRequest
from tests.portal import world
from tests.portal.world import World

pytestmark = pytest.mark.django_db
PATHS = {name: saved_filters.address_of(name) for name in offered()}
TABLES = {name: PATHS[name] for name, listing in offered().items() if listing.choices}
FILTERS, COLUMNS = "/api/v1/saved-filters/", "/api/v1/list-columns/"


@pytest.fixture
def everything(team: Any, owner: User, engineer: User, viewer: User) -> World:
    made = world.build(team, owner)
    made.saved.delete()
    AliasRequest.objects.update(status="approved", decided_by=owner, decided_at=timezone.now())
    return made


def save(client: Client, listing: str = "sessions", **answers: str) -> Any:
    body = {"name": "Failed", "query": "status=failed&page=3", **answers}
    return client.post(f"/lists/{listing}/filters/", body, follow=True)


def heads(client: Client, path: str) -> list[str]:
    head = re.search(r"<thead>.*?</thead>", client.get(path).content.decode(), re.DOTALL)
    assert head, path
    return re.findall(r"<th scope=\"col\"[^>]*>(?:<a [^>]*>)?([^<]+)<", head[0])


def test_a_filter_is_saved_applied_and_deleted(client: Client, everything: World, viewer: User) -> None:
    client.force_login(viewer)
    answer = save(client)
    assert answer.redirect_chain == [("/sessions/?status=failed", 302)]
    assert 'href="/sessions/?status=failed" aria-current="true">Failed</a>' in answer.content.decode()
    assert str(everything.session.pk) not in answer.content.decode()
    saved = SavedFilter.objects.get()
    client.post(f"/lists/filters/{saved.pk}/delete/")
    assert not SavedFilter.objects.exists()
    events = AuditEvent.objects.filter(action__startswith="filter.").in_order()
    assert [(one.action, one.subject, one.user_id) for one in events] == [
        ("filter.saved", "Failed", viewer.pk),
        ("filter.deleted", "Failed", viewer.pk),
    ]


def test_the_team_sees_what_is_shared_and_nothing_else(
    client: Client, everything: World, owner: User, engineer: User, viewer: User, stranger: User
) -> None:
    client.force_login(engineer)
    save(client, name="Mine")
    save(client, name="Ours", shared="on")
    client.force_login(viewer)
    html = client.get("/sessions/").content.decode()
    assert "Ours</a>" in html
    assert "Mine</a>" not in html
    ours, mine = SavedFilter.objects.get(name="Ours"), SavedFilter.objects.get(name="Mine")
    assert client.post(f"/lists/filters/{mine.pk}/delete/").status_code == 404
    assert client.delete(f"{FILTERS}{ours.pk}/").json()["code"] == "filter.of_another"
    client.force_login(stranger)
    assert "Ours" not in client.get("/sessions/").content.decode()
    client.force_login(owner)
    assert client.delete(f"{FILTERS}{ours.pk}/").status_code == 204


def test_a_viewer_shares_nothing(client: Client, everything: World, viewer: User) -> None:
    client.force_login(viewer)
    assert save(client, shared="on").status_code == 403
    body = {"list": "sessions", "name": "x", "query": "status=failed", "shared": True}
    assert client.post(FILTERS, body, content_type="application/json").status_code == 403


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"query": "page=2"}, "filter.empty", "narrows nothing"),
        ({"name": " Taken "}, "filter.name_taken", "You have already saved"),
    ],
)
def test_a_filter_that_cannot_be_saved_says_why(
    client: Client, everything: World, engineer: User, changes: dict[str, str], code: str, said: str
) -> None:
    client.force_login(engineer)
    save(client, name="Taken")
    body = {"list": "sessions", "name": "new", "query": "status=failed", **changes}
    answer = client.post(FILTERS, body, content_type="application/json")
    assert answer.json()["code"] == code
    assert said in save(client, **changes).content.decode()
    assert SavedFilter.objects.count() == 1


def test_an_unknown_list_is_said(client: Client, everything: World, engineer: User) -> None:
    client.force_login(engineer)
    assert save(client, "workers").status_code == 404
    with pytest.raises(saved_filters.ListUnknown):
        saved_filters.choose_columns(engineer, "workers", [])


@pytest.mark.parametrize("listing", TABLES)
def test_every_column_can_be_shown_and_hidden(client: Client, everything: World, owner: User, listing: str) -> None:
    client.force_login(owner)
    choices = offered()[listing].choices
    first, *usual = heads(client, PATHS[listing])
    assert usual == [one.label for one in choices if one.usual]
    client.post(f"/lists/{listing}/columns/", {"column": [one.name for one in choices]})
    assert heads(client, PATHS[listing]) == [first, *(one.label for one in choices)]
    for one in choices:
        client.post(f"/lists/{listing}/columns/", {"column": one.name})
        assert heads(client, PATHS[listing]) == [first, one.label]
    client.post(f"/lists/{listing}/columns/", {})
    assert heads(client, PATHS[listing]) == [first, *usual]


def test_columns_are_each_members_own_and_only_of_the_list(
    client: Client, everything: World, engineer: User, viewer: User
) -> None:
    client.force_login(viewer)
    answer = client.patch(
        COLUMNS, {"list": "sessions", "columns": ["faster", "dataset"]}, content_type="application/json"
    )
    shown = {one["list"]: one["shown"] for one in answer.json()["lists"]}
    assert shown["sessions"] == ["dataset", "faster"]
    assert "Objective</th>" in client.get("/").content.decode(), "the dashboard's table is not the list"
    wrong = {"list": "sessions", "columns": ["password"]}
    assert client.patch(COLUMNS, wrong, content_type="application/json").json()["code"] == "list.column_unknown"
    client.force_login(engineer)
    assert "Objective" in heads(client, "/sessions/")


@pytest.mark.parametrize("path", PATHS.values())
def test_the_lists_need_few_queries_with_all_columns(
    client: Client, everything: World, viewer: User, path: str, django_assert_max_num_queries: Any
) -> None:
    client.force_login(viewer)
    for listing in PATHS:
        saved_filters.choose_columns(viewer, listing, [one.name for one in offered()[listing].choices])
    client.get(path)
    with django_assert_max_num_queries(20):
        client.get(path)
