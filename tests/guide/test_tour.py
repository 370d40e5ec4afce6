"""The tour for the first session: offered once, led by what a member has done, ended for good, taken again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.test import Client

from apps.accounts.models import Membership, User
from apps.guide import tour
from apps.models.models import DataSet
from apps.optimization.models import OptimizationSession
from tests.portal.world import World, build

pytestmark = pytest.mark.django_db
OFFER, STEP = "Your first session?", "Tour, step"


@pytest.fixture
def page(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


def shown(client: Client, address: str) -> str:
    """What stands in the hint of a page; empty if there is none."""
    found = re.search(r'<section class="notice tour.*?</section>', client.get(address).content.decode(), re.DOTALL)
    return found[0] if found else ""


def move(client: Client, name: str, page: str = "/models/") -> str:
    return client.post("/tour/", {"move": name, "page": page})["Location"]


def test_it_is_offered_on_the_dashboard_until_it_is_declined(page: Client, owner: User) -> None:
    assert OFFER in shown(page, "/")
    assert not shown(page, "/models/")
    assert move(page, "end", "/?x=1") == "/?x=1#content"
    assert "“Take the tour” in the menu" in page.get("/").content.decode()
    assert not shown(page, "/")
    owner.refresh_from_db()
    assert owner.tour == tour.ENDED


def test_who_has_finished_a_session_is_not_offered_it(page: Client, world_of_mine: World) -> None:
    assert world_of_mine.session.finished_at
    assert not shown(page, "/")


@pytest.fixture
def world_of_mine(owner: User) -> World:
    return build(owner.teams.get(), owner)


def test_a_viewer_has_none(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    assert not shown(client, "/")
    assert "Take the tour" not in client.get("/").content.decode()
    assert client.post("/tour/", {"move": "begin"}).status_code == 403


def test_who_goes_on_is_led_from_page_to_page(page: Client) -> None:
    way = [move(page, "begin"), *(move(page, "next") for _ in range(5))]
    assert way == [
        "/models/upload/#tour",
        "/datasets/upload/#tour",
        "/sessions/new/#tour",
        "/sessions/new/#tour",
        "/sessions/#tour",
        "/#content",
    ]
    assert not shown(page, "/models/upload/")


def test_a_hint_points_at_its_place_or_leads_there(page: Client) -> None:
    move(page, "begin")
    there = shown(page, "/models/upload/")
    assert f"{STEP} 1 of 5" in there
    assert 'href="#id_file"' in there
    elsewhere = shown(page, "/workers/")
    assert 'href="/models/upload/#tour"' in elsewhere
    assert 'data-target=""' in elsewhere


def test_what_is_done_is_not_asked_for(page: Client, owner: User, world_of_mine: World) -> None:
    OptimizationSession.objects.all().delete()
    assert move(page, "begin") == "/sessions/new/#tour"
    assert "Say what matters" not in shown(page, "/sessions/new/"), "there are criteria"
    assert "Start the session" in shown(page, "/sessions/new/")


def test_a_started_session_leads_to_its_report(page: Client, owner: User, world_of_mine: World) -> None:
    DataSet.objects.update(created_by=None)
    User.objects.filter(pk=owner.pk).update(tour="model")
    hint = shown(page, world_of_mine.session.get_absolute_url())
    assert "Read the report" in hint
    assert 'href="#session-head"' in hint
    report = shown(page, f"{world_of_mine.session.get_absolute_url()}report/")
    assert 'href="#report-verdict"' in report
    assert "Done" in report


def test_taken_again_it_begins_at_the_beginning(page: Client, owner: User, world_of_mine: World) -> None:
    assert "Take the tour" in page.get("/").content.decode()
    assert move(page, "anew") == "/models/upload/#tour"
    assert f"{STEP} 1 of 5" in shown(page, "/models/upload/")
    assert move(page, "next") == "/datasets/upload/#tour"


def test_each_member_has_a_tour_of_their_own(page: Client, engineer: User) -> None:
    move(page, "end")
    other = Client()
    other.force_login(engineer)
    assert OFFER in shown(other, "/")


def test_another_host_is_no_page_to_go_back_to(page: Client) -> None:
    assert move(page, "end", "https://elsewhere.example/") == "/#content"
    assert move(page, "end", "//elsewhere.example/") == "/#content"


def test_what_it_points_at_is_on_the_page_and_gets_a_ring(page: Client, owner: User, world_of_mine: World) -> None:
    """A name that changes in a template leaves the tour pointing at nothing."""
    style = (Path(__file__).parents[2] / "static" / "lathe.css").read_text()
    address = world_of_mine.session.get_absolute_url()
    pages = {
        "models:model-upload": "/models/upload/",
        "models:dataset-upload": "/datasets/upload/",
        "optimization:session-new": "/sessions/new/",
        "optimization:session-detail": address,
        "optimization:report": f"{address}report/",
    }
    assert Membership.objects.filter(user=owner).exists()
    for stop in tour.STOPS:
        for view, target in stop.targets.items():
            assert f'id="{target}"' in page.get(pages[view]).content.decode(), (view, target)
            assert f'#tour[data-target="{target}"]) #{target}' in style
