"""The page of predictions example by example, and the same in the API."""

from __future__ import annotations

import csv
import io

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.optimization.models import KeptAnswers, OptimizationSession
from tests.portal import world
from tests.portal.world import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def everything(team, owner: User) -> World:
    return world.build(team, owner)


@pytest.fixture
def page(client: Client, everything: World, viewer: User) -> str:
    client.force_login(viewer)
    return reverse("optimization:session-answers", args=[everything.session.pk])


def test_the_report_leads_to_it_and_it_shows_what_changed(client: Client, everything: World, page: str) -> None:
    report = client.get(reverse("optimization:report", args=[everything.session.pk])).content.decode()
    assert f'href="{page}?candidate=c01"' in report
    html = client.get(page, {"candidate": "c01"}).content.decode()
    parts = ("answers-changed", "example-3704", "answers-confusion", "answers-mixups", "answers-histogram-1")
    assert [part for part in parts if f'id="{part}"' not in html] == []
    assert "120 of 1,396 predictions changed: 82 for the worse, 28 for the better, 10 neither." in html
    assert "softmax" in html


def test_it_can_be_narrowed_and_is_a_file(client: Client, page: str) -> None:
    html = client.get(page, {"turn": "better"}).content.decode()
    assert 'id="example-382"' in html
    assert 'id="example-3704"' not in html
    file = client.get(page, {"turn": "better", "export": "csv"}).content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(file)))
    assert {row["turn"] for row in rows} == {"better"}
    assert {row["example"] for row in rows} == {"382", "361"}


def test_a_picture_is_one_of_the_candidates(client: Client, everything: World, page: str) -> None:
    address = reverse("optimization:session-answers-picture", args=[everything.session.pk, "c01", "3704.png"])
    assert address in client.get(page).content.decode()
    answer = client.get(address)
    assert (answer["Content-Type"], answer.content) == ("image/png", world.PIXEL)
    assert client.get(address.replace("3704", "1")).status_code == 404


def test_a_session_judged_earlier_says_so(client: Client, everything: World, page: str) -> None:
    KeptAnswers.objects.all().delete()
    answer = client.get(page)
    assert answer.status_code == 404
    assert "c01 was judged before Lathe kept predictions. Retry the session to get them." in answer.content.decode()
    report = client.get(reverse("optimization:report", args=[everything.session.pk])).content.decode()
    assert "report-answers" not in report


def test_a_session_that_judged_nothing_says_so_in_the_api(client: Client, everything: World, page: str) -> None:
    KeptAnswers.objects.all().delete()
    OptimizationSession.objects.update(outcome="unchanged", verdict={"outcome": "unchanged", "reason": "None."})
    answer = client.get(f"/api/v1/sessions/{everything.session.pk}/predictions/")
    assert (answer.status_code, answer.json()["code"]) == (404, "session.no_predictions")
    assert "no candidate was judged on the test examples" in answer.json()["detail"]


def test_an_unknown_candidate_is_named(client: Client, everything: World, page: str) -> None:
    answer = client.get(f"/api/v1/sessions/{everything.session.pk}/predictions/", {"candidate": "c99"})
    assert answer.json()["code"] == "session.candidate_unknown"


def test_the_api_has_what_the_page_shows(client: Client, everything: World, page: str) -> None:
    found = client.get(f"/api/v1/sessions/{everything.session.pk}/predictions/").json()
    assert (found["candidate"], found["judged"]) == ("c01", ["c01"])
    assert found["answers"]["worse"] == 82
    assert found["answers"]["shown"][0]["excerpt"]["picture"] == "3704.png"
    picture = client.get(f"/api/v1/sessions/{everything.session.pk}/predictions/c01/3704.png/")
    assert picture.content == world.PIXEL
    missing = client.get(f"/api/v1/sessions/{everything.session.pk}/predictions/c01/1.png/")
    assert missing.json()["code"] == "session.no_picture"
