"""What the log, the recipe, the API and the pages say of intermediate files that a session let go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.agents.contracts.reports.recipe import Recipe
from apps.optimization import live, services
from apps.optimization.errors.results import NoRecipe
from apps.optimization.lineage import Lineage
from apps.optimization.models import OptimizationSession
from apps.optimization.recipe import recipe_of, recipe_of_step
from apps.optimization.rendering import report_html
from tests.optimization.standing import standing_with_a_teacher
from tests.optimization.test_collecting import LINKS, link

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def finished(django_db_setup: None, django_db_blocker: Any) -> Iterator[OptimizationSession]:
    with standing_with_a_teacher(django_db_blocker.unblock) as session:
        yield session


@pytest.fixture
def engineer(finished: OptimizationSession) -> User:
    return finished.created_by


def test_the_log_says_so_of_each(finished: OptimizationSession) -> None:
    lines = finished.log.filter(message__contains="nothing in the session reads it any more. Its recipe makes it again")
    assert sorted(lines.values_list("step_key", flat=True)) == sorted(link(finished, one).key for one in LINKS)


def test_the_recipe_still_lists_what_each_step_made(finished: OptimizationSession) -> None:
    recipe = recipe_of(finished)
    assert [step.made.sha256 for step in recipe.steps if step.made] == [
        step.result["digest"] for step in Lineage(finished).sources("c01/optimize")
    ]


def test_a_collected_file_has_a_recipe_of_its_own(finished: OptimizationSession) -> None:
    graph = link(finished, "onnx-graph")
    recipe = recipe_of_step(finished, graph.key)
    assert [step.key for step in recipe.steps] == [graph.key]
    assert recipe.artifact is not None
    assert (recipe.artifact.sha256, recipe.recipe_version) == (graph.result["digest"], 1)


@pytest.mark.parametrize("key", ["analyse", "c01/evaluate", "nothing"])
def test_what_made_no_model_has_no_recipe(finished: OptimizationSession, key: str) -> None:
    with pytest.raises(NoRecipe, match=f"{key}' of this session has made no model"):
        recipe_of_step(finished, key)


def test_the_api_says_when_a_file_went_and_gives_its_recipe(finished: OptimizationSession, engineer: User) -> None:
    api = APIClient()
    api.force_authenticate(engineer)
    address = f"/api/v1/sessions/{finished.pk}"
    graph = link(finished, "onnx-graph")

    steps = {one["key"]: one for one in api.get(f"{address}/steps/").json()}
    assert steps[graph.key]["artifact_sha256"] is None
    assert steps[graph.key]["collected_at"] is not None
    assert steps["c01/optimize"]["collected_at"] is None
    first, last = api.get(f"{address}/candidates/").json()[0]["steps"]
    assert (first["step"], first["status"], first["digest"]) == (graph.key, "completed", graph.result["digest"])
    assert first["collected_at"] is not None
    assert last["collected_at"] is None

    recipe = Recipe.model_validate(api.get(f"{address}/recipe/", {"step": graph.key}).json())
    assert recipe == recipe_of_step(finished, graph.key)
    assert Recipe.model_validate(api.get(f"{address}/recipe/").json()) == recipe_of(finished)
    refused = api.get(f"{address}/recipe/", {"step": "analyse"})
    assert (refused.status_code, refused.json()["code"]) == (404, "session.no_recipe")


@pytest.mark.parametrize("page", ["report", "session-detail"])
def test_the_pages_say_so_plainly_and_offer_the_recipe(
    finished: OptimizationSession, engineer: User, client: Client, page: str
) -> None:
    client.force_login(engineer)
    html = client.get(reverse(f"optimization:{page}", args=[finished.pk])).content.decode()
    graph = link(finished, "onnx-graph")
    address = f"{reverse('optimization:session-recipe', args=[finished.pk])}?step={graph.key.replace('/', '%2F')}"

    assert "The file was removed, because nothing in the session reads it any more." in html
    assert f'<a href="{address}"' in html
    answer = client.get(address)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="recipe.json"'
    assert Recipe.model_validate(json.loads(answer.content)) == recipe_of_step(finished, graph.key)


def test_a_push_to_the_live_page_offers_it_as_well(finished: OptimizationSession) -> None:
    assert f"/sessions/{finished.pk}/recipe/?step=" in live.fragments(finished, writes=False)["steps"]


def test_the_report_in_the_package_says_so_without_an_address(finished: OptimizationSession) -> None:
    html = report_html(services.report(finished))
    assert "The file was removed, because nothing in the session reads it any more." in html
    assert "recipe/?step=" not in html
