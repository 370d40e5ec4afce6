"""The minutes that candidates should take: in the preview, on the session's page, in its report and in the API."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.agents.contracts.criteria import Budget, Criteria
from apps.agents.contracts.phrasing import duration
from apps.agents.contracts.state import CandidateStatus, Outcome, Status, Verdict
from apps.models.models import DataSet, ModelVersion
from apps.optimization import services
from apps.optimization.models import Candidate, CriteriaSet, OptimizationSession
from apps.optimization.rendering import report_html
from tests.optimization import material

pytestmark = pytest.mark.django_db

TIMED = {"minutes": 1.5, "minutes_basis": "60 s to make it and up to 30 s to measure it."}


@pytest.fixture
def timed(session: OptimizationSession) -> OptimizationSession:
    """A session with two candidates: one of a plan from before, and one with minutes."""
    old = material.CANDIDATE.predicted.model_dump(mode="json", exclude={"minutes", "minutes_basis"})
    for key, predicted in (("c01", old), ("c02", {**old, **TIMED})):
        Candidate.objects.create(
            session=session,
            key=key,
            **material.chain((material.CANDIDATE.technique, "One")),
            predicted=predicted,
            reason="",
            status=CandidateStatus.PLANNED,
        )
    return session


def test_the_preview_shows_what_each_candidate_takes_at_least(
    client: Client, engineer: User, version: ModelVersion, dataset: DataSet
) -> None:
    client.force_login(engineer)
    criteria = CriteriaSet.objects.order_by("pk").first()
    assert criteria is not None
    asked = {"version": version.pk, "dataset": dataset.pk, "criteria_set": criteria.pk}
    page = client.get("/sessions/new/preview/", asked).content.decode()
    assert '<span class="small soft">Takes at least ' in page
    assert re.search(
        r"At least, as the model&#x27;s latency is not known yet: \d+ s to make it .*s to measure it", page
    )


def test_page_and_api_show_the_same_steps_and_the_same_total(
    client: Client, engineer: User, version: ModelVersion, dataset: DataSet
) -> None:
    client.force_login(engineer)
    api = APIClient()
    api.force_authenticate(engineer)
    criteria = CriteriaSet.objects.order_by("pk").first()
    assert criteria is not None
    asked = {"version": version.pk, "dataset": dataset.pk, "criteria_set": criteria.pk}
    told = api.post("/api/v1/sessions/preview/", asked, format="json").json()
    plan, tried = told["plan"], told["criteria"]["budget"]["candidates"]
    each = [one["predicted"] for one in plan["candidates"]]
    once = [one["minutes"] for one in plan["shared"]]
    assert told["minutes"] == pytest.approx(sum(once) + sum(one["minutes"] for one in each[:tried]), abs=2e-3)
    for predicted in each:
        assert predicted["minutes"] == pytest.approx(sum(one["minutes"] for one in predicted["steps"]))

    found = re.sub(r"\s+", " ", client.get("/sessions/new/preview/", asked).content.decode())
    table = found.partition('id="plan-steps"')[2].partition("</details>")[0]
    steps = [*plan["shared"], *(step for one in each for step in one["steps"])]
    assert table.count('<th scope="row">') == len(steps) + 1
    assert f"<strong>{duration(60 * told['minutes'])}</strong>" in table.partition('id="plan-total"')[2]
    for predicted in each:
        assert f"<strong>{duration(60 * predicted['minutes'])}</strong>" in table


def test_the_preview_says_that_the_budget_is_too_small(engineer: User, version: ModelVersion, dataset: DataSet) -> None:
    api = APIClient()
    api.force_authenticate(engineer)
    criteria = Criteria(budget=Budget(minutes=0.1)).model_dump(mode="json")
    asked = {"version": version.pk, "dataset": dataset.pk, "criteria": criteria}
    plan = api.post("/api/v1/sessions/preview/", asked, format="json").json()["plan"]
    assert "Even the first candidate does not fit the budget" in plan["summary"]
    assert all(candidate["predicted"]["minutes"] > 0.1 for candidate in plan["candidates"])


def test_the_sessions_page_and_its_report_show_minutes_where_they_are_known(
    client: Client, engineer: User, timed: OptimizationSession
) -> None:
    client.force_login(engineer)
    page = client.get(reverse("optimization:session-detail", args=[timed.pk])).content.decode()
    assert page.count("about 1 min 30 s, predicted") == 1
    timed.verdict = Verdict(outcome=Outcome.NOT_MEASURED, reason="There was no time.").model_dump(mode="json")
    timed.status = Status.COMPLETED
    timed.save()
    assert report_html(services.report(timed)).count("Predicted to take 1 min 30 s.") == 1


def test_the_api_tells_the_minutes(engineer: User, timed: OptimizationSession) -> None:
    api = APIClient()
    api.force_authenticate(engineer)
    old, new = api.get(f"/api/v1/sessions/{timed.pk}/candidates/").json()
    assert "minutes" not in old["predicted"]
    assert new["predicted"]["minutes"] == 1.5
