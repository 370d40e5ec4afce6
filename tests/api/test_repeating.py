"""Requests that are repeated: a POST with a key is carried out once, and a GET of what is known has no body."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from apps.accounts.models import KeptAnswer, User
from apps.models.models import RegisteredModel
from apps.optimization import actors
from tests.api.conftest import Api
from tests.api.contract import Client
from tests.portal.world import World

pytestmark = pytest.mark.django_db
MODELS = "/api/v1/models/"


@pytest.fixture
def mine(api: Api, engineer: User) -> Client:
    return api(engineer)


def post(client: Client, key: str, name: str = "net") -> Any:
    return client.post(MODELS, {"name": name}, headers={"Idempotency-Key": key})


def code(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.content
    return str(answer.json()["code"])


def test_a_repeated_request_is_carried_out_once(mine: Client) -> None:
    key = str(uuid4())
    first, second = post(mine, key), post(mine, key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert (first.get("Idempotency-Replayed"), second["Idempotency-Replayed"]) == (None, "true")
    assert RegisteredModel.objects.count() == 1
    assert post(mine, str(uuid4()), "other").status_code == 201


def test_a_key_is_for_one_request_of_one_member(mine: Client, api: Api, owner: User) -> None:
    key = str(uuid4())
    post(mine, key)
    assert code(post(mine, key, "other"), 422) == "idempotency.key_reused"
    assert post(api(owner), key, "other").status_code == 201
    for wrong in ("", "x" * 256):
        assert code(post(mine, wrong), 400) == "idempotency.key_invalid"


def test_what_was_refused_may_be_tried_again_with_its_key(mine: Client) -> None:
    key = str(uuid4())
    assert code(post(mine, key, ""), 400) == "request.invalid"
    assert post(mine, key, "net").status_code == 201


def test_a_request_that_still_runs_is_waited_for_until_its_process_is_taken_for_dead(mine: Client) -> None:
    key = str(uuid4())
    post(mine, key)
    KeptAnswer.objects.update(status=None)
    assert code(post(mine, key), 409) == "idempotency.in_progress"
    KeptAnswer.objects.update(created_at=timezone.now() - timedelta(minutes=6))
    assert post(mine, key, "again").status_code == 201


def test_answers_are_kept_for_a_day(mine: Client) -> None:
    post(mine, "monday")
    KeptAnswer.objects.update(created_at=timezone.now() - timedelta(hours=25))
    post(mine, "tuesday", "other")
    assert [one.key for one in KeptAnswer.objects.all()] == ["tuesday"]
    KeptAnswer.objects.update(created_at=timezone.now() - timedelta(hours=25))
    actors.tidy_up.fn()
    assert not KeptAnswer.objects.exists()


@pytest.mark.parametrize("path", ["models/", "sessions/", "workers/", "notifications/"])
def test_a_list_that_has_not_changed_is_not_sent_again(mine: Client, everything: World, path: str) -> None:
    first = mine.get(f"/api/v1/{path}")
    known = mine.get(f"/api/v1/{path}", headers={"If-None-Match": first["ETag"]})
    assert (known.status_code, known.content, known["ETag"]) == (304, b"", first["ETag"])
    assert "private" in first["Cache-Control"]


def test_a_list_that_has_changed_is_sent(mine: Client) -> None:
    before = mine.get(MODELS)
    post(mine, "one")
    after = mine.get(MODELS, headers={"If-None-Match": before["ETag"]})
    assert (after.status_code, after.json()["count"]) == (200, 1)


def test_every_answer_says_how_many_requests_are_left(mine: Client) -> None:
    first, second = mine.get(MODELS), post(mine, "two")
    assert first["RateLimit-Policy"] == second["RateLimit-Policy"] == '"member";q=1200;w=60'
    left = [int(one["RateLimit"].split(";")[1].removeprefix("r=")) for one in (first, second)]
    assert left == [1199, 1198]
    assert mine.get(MODELS, headers={"If-None-Match": mine.get(MODELS)["ETag"]})["RateLimit"].startswith('"member";r=')
