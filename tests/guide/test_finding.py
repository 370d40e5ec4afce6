"""One search: what a member may open, by words; never what another team has."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts import services
from apps.accounts.models import Team, TokenScope, User
from apps.guide.finding import PAGES, find
from apps.optimization.models import OptimizationSession
from tests.portal import world
from tests.portal.world import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def everything(team: Team, owner: User) -> World:
    return world.build(team, owner)


def found(user: User, words: str) -> dict[str, list[str]]:
    return {kind.name: [finding.title for finding in kind.findings] for kind in find(user, words)}


def test_rows_are_found_by_parts_of_their_names(everything: World, viewer: User) -> None:
    assert found(viewer, "RESN")["Models"] == ["resnet"]
    assert found(viewer, "images test")["Data sets"] == ["test images"]
    assert found(viewer, "resnet images")["Sessions"] == ["resnet v1"]
    assert found(viewer, "our")["Criteria"] == ["ours"]


def test_the_day_of_a_session_is_that_of_the_member(everything: World, viewer: User) -> None:
    OptimizationSession.objects.update(created_at=datetime(2026, 3, 1, 23, 30, tzinfo=UTC))
    with timezone.override("Asia/Tokyo"):
        [sessions] = [kind for kind in find(viewer, "resnet images") if kind.name == "Sessions"]
    assert "started 2026-03-02" in sessions.findings[0].detail


def test_every_word_must_occur(everything: World, viewer: User) -> None:
    assert found(viewer, "resnet zebra") == {}


def test_rows_of_another_team_are_not_found(everything: World, stranger: User) -> None:
    assert not {"Models", "Data sets", "Sessions"} & set(found(stranger, "resnet")) | set(found(stranger, "ours")) - {
        "Documentation"
    }


def test_without_words_all_pages_are_offered(viewer: User, client: Client) -> None:
    [pages] = find(viewer, "  ")
    assert [finding.title for finding in pages.findings] == [title for title, _, _ in PAGES]
    client.force_login(viewer)
    assert all(client.get(finding.address).status_code in (200, 403) for finding in pages.findings)


def test_an_error_code_is_found_with_its_sentence(viewer: User) -> None:
    kinds = {kind.name: kind.findings for kind in find(viewer, "model.name_taken")}
    first = kinds["Documentation"][0]
    assert first.address == "/docs/errors/#model.name_taken"
    assert "already has a model" in first.detail


@pytest.mark.parametrize("words", ["%", "_", "a\x00b", "\ud800", "x" * 5000, "' OR 1=1 --"])
def test_no_words_break_it(everything: World, viewer: User, words: str) -> None:
    assert "Models" not in found(viewer, words)


def test_a_page_and_the_options_show_the_same(everything: World, viewer: User, client: Client) -> None:
    client.force_login(viewer)
    page = client.get("/find/", {"search": "resnet"}).content.decode()
    options = client.get("/find/", {"search": "resnet"}, headers={"HX-Request": "true"}).content.decode()
    for text in (page, options):
        assert f'href="{everything.model.get_absolute_url()}"' in text
    assert 'role="option"' in options
    assert "<html" not in options


def test_what_was_searched_is_no_markup(viewer: User, client: Client) -> None:
    client.force_login(viewer)
    for headers in ({}, {"HX-Request": "true"}):
        assert "<b>x" not in client.get("/find/", {"search": "<b>xyz"}, headers=headers).content.decode()


def test_the_api_finds_the_same(everything: World, viewer: User, client: Client) -> None:
    token = services.create_token(viewer, name="t", scope=TokenScope.READ, days=1)[1]
    answer = client.get("/api/v1/find/?search=resnet", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    names = {kind["name"]: [one["title"] for one in kind["findings"]] for kind in answer.json()["kinds"]}
    assert names["Models"] == ["resnet"]
    wrong = client.get("/api/v1/find/?words=x", headers={"Authorization": f"Bearer {token}"})
    assert wrong.json()["errors"][0]["field"] == "words"


def test_a_search_takes_few_queries(everything: World, viewer: User, django_assert_max_num_queries) -> None:
    with django_assert_max_num_queries(4):
        find(viewer, "resnet")
