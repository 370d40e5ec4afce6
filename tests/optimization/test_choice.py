"""From a finalist's step to what the page, the API and the terminal say of the choice."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.selection import PairedOutcomes
from apps.agents.contracts.state import StepKind
from apps.optimization import services
from apps.optimization.management.commands.optimize import Command
from apps.optimization.models import OptimizationSession, SessionStep
from tests.optimization.arguments import arguments_of
from tests.optimization.standing import standing

pytestmark = pytest.mark.django_db

SAID = (
    "One candidate was tried on 800 validation examples, and the best was judged on 800 test examples, which played no "
    "part in the choice."
)


@pytest.fixture(scope="module")
def finished(django_db_setup: None, django_db_blocker: Any) -> Iterator[OptimizationSession]:
    with standing(django_db_blocker.unblock) as made:
        yield made.session()


def step(session: OptimizationSession, key: str) -> SessionStep:
    return session.steps.get(key=key)


def test_the_finalist_is_judged_in_a_step_of_its_own(finished: OptimizationSession) -> None:
    keys = list(finished.steps.order_by("pk").values_list("key", flat=True))
    assert keys[-3:] == ["c01/evaluate", "c01/judge", "package"]
    assert step(finished, "c01/judge").kind == StepKind.EVALUATE
    assert step(finished, "c01/judge").parent_key == step(finished, "c01/evaluate").parent_key


def test_the_job_that_judges_gets_what_every_candidate_made_of_each_example(finished: OptimizationSession) -> None:
    outcomes = PairedOutcomes(examples=800, lost=(3, 5), won=(7,)).model_dump(mode="json")
    ranked = step(finished, "c01/evaluate")
    SessionStep.objects.filter(pk=ranked.pk).update(result={**ranked.result, "outcomes": outcomes})

    told = arguments_of(step(finished, "c01/judge"))
    assert (told["part"], told["candidate"], told["finalists"]) == ("evaluation", "c01", ["c01"])
    assert told["contenders"].keys() == {"c01"}
    assert told["outcomes"]["choosing"] == {"c01": outcomes}
    assert "outcomes" not in arguments_of(step(finished, "c01/evaluate"))


def test_what_judged_takes_the_place_of_what_ranked_and_leaves_single_examples_with_the_steps(
    finished: OptimizationSession,
) -> None:
    body = finished.candidates.get(key="c01").evaluation.body
    assert body["part"] == Part.EVALUATION
    assert body["outcomes"] is None
    assert EvaluationReport.model_validate(step(finished, "c01/evaluate").result).part is Part.CHOOSING


def test_page_report_and_api_say_what_was_tried_and_judged(finished: OptimizationSession) -> None:
    client = Client()
    client.force_login(finished.created_by)
    address = finished.get_absolute_url()

    assert services.report(finished).verdict.choice is not None
    api = client.get(f"/api/v1/sessions/{finished.pk}/").json()
    assert api["verdict"]["choice"]["sentence"] == SAID
    assert api["verdict"]["choice"]["finalists"] == ["c01"]
    for page in (address, f"{address}report/"):
        assert SAID in client.get(page).content.decode()
    assert "Cost of the choice" in client.get(f"{address}report/").content.decode()


def test_the_terminal_says_it_too(finished: OptimizationSession) -> None:
    out = io.StringIO()
    Command(stdout=out)._wait(finished)
    assert SAID in out.getvalue()
