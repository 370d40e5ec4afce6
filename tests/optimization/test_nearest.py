"""When nothing holds: the verdict, the page and the API name the nearest candidate and the slack of each limit."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from django.test import Client
from pypdf import PdfReader

from apps.agents.contracts.state import Outcome
from apps.optimization import services
from apps.optimization.models import OptimizationSession
from apps.optimization.services.printing import report_pdf
from tests.optimization.standing import standing

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def unchanged(django_db_setup: None, django_db_blocker: Any) -> Iterator[OptimizationSession]:
    with standing(django_db_blocker.unblock) as made:
        yield made.session(evaluate="evaluate_too_lossy")


def test_verdict_page_and_api_name_the_nearest_and_its_slack(unchanged: OptimizationSession) -> None:
    assert unchanged.outcome == Outcome.UNCHANGED
    nearest = unchanged.verdict["nearest"]
    assert (nearest["candidate"], nearest["distance"]) == ("c01", 0.5)
    assert "c01 came closest" in unchanged.verdict["reason"]

    client = Client()
    client.force_login(unchanged.created_by)
    told = client.get(f"/api/v1/sessions/{unchanged.pk}/report/").json()["nearest"]
    (slack,) = told["slacks"]
    assert slack["constraint"] == "max_metric_drop_points"
    assert (slack["limit"], slack["measured"], slack["slack"], slack["shortfall"]) == (1.0, 1.5, -0.5, 0.5)
    page = client.get(f"{unchanged.get_absolute_url()}report/").content.decode()
    assert "Nearest to the limits" in page
    assert "c01 comes nearest: it misses 1 of 1 limit, at a distance of 0.5" in page


def test_a_verdict_from_before_it_was_stored_has_one_as_well(unchanged: OptimizationSession) -> None:
    stored = services.report(unchanged).nearest
    unchanged.verdict = {name: value for name, value in unchanged.verdict.items() if name not in ("nearest", "taken")}
    assert stored is not None
    assert services.report(unchanged).nearest == stored
    unchanged.refresh_from_db()


def test_where_the_original_stands_another_point_can_still_be_asked_for_only_if_it_was_accepted(
    unchanged: OptimizationSession,
) -> None:
    client = Client()
    client.force_login(unchanged.created_by)
    path = f"/api/v1/sessions/{unchanged.pk}/take/"
    answer = client.post(path, {"candidate": "c01"}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (409, "session.candidate_not_takable")
    assert "It loses 1.5 points" in answer.json()["detail"]


def test_the_pdf_names_them_too(unchanged: OptimizationSession) -> None:
    pdf = PdfReader(BytesIO(report_pdf(services.report(unchanged))))
    text = " ".join(" ".join(page.extract_text() for page in pdf.pages).split())
    assert "Nearest to the limits" in text
    assert "it misses 1 of 1 limit" in text
    assert "violated" in text
