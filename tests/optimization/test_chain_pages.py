"""The pages and the API show how each candidate is made: every link with its state, checks and findings."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.accounts.models import User
from apps.agents.contracts.state import Status, StepKind
from apps.optimization import live
from apps.optimization.models import OptimizationSession
from apps.optimization.rendering import report_html
from apps.optimization.services import report
from tests.optimization import exported, material

pytestmark = [pytest.mark.django_db, pytest.mark.portable]

LAST = "c02/optimize"
FOUND = {"left_in_float": ["/head/MatMul"], "smoothing": {"alpha": 0.55, "sites": 12}, "nothing": []}


@pytest.fixture
def finished(session: OptimizationSession) -> OptimizationSession:
    """Its candidate c02 is an export, a preparation and dynamic int8."""
    done = exported.finish(session)
    step = done.steps.get(key=LAST)
    step.result |= {"evidence": FOUND, "checks": ["The weights take a quarter."]}
    step.save()
    return done


def row_of(session: OptimizationSession, key: str) -> live.CandidateRow:
    return next(row for row in live.read(session).candidates if row.candidate.key == key)


def chain_on_the_page(session: OptimizationSession, key: str) -> str:
    """The part of the live page that shows how a candidate is made."""
    html = live.fragments(session, writes=True)["candidates"]
    start = html.index(f'id="chain-{key}"')
    return html[start : html.index("</details>", start)]


def test_the_live_page_shows_every_link_with_its_checks_in_order(finished: OptimizationSession) -> None:
    shown = chain_on_the_page(finished, "c02")

    links = [shown.index(f"<strong>Title of {name}") for name in ("onnx-export", "onnx-graph", "onnx-dynamic-int8")]
    assert links == sorted(links)
    assert shown.index("The weights take a quarter.") > links[-1]
    assert shown.count("Loads.") == 2
    assert shown.count('aria-label="completed"') == 3


@pytest.mark.parametrize(
    ("status", "error"), [(Status.QUEUED, ""), (Status.RUNNING, ""), (Status.FAILED, "No kernel for int8.")]
)
def test_a_link_that_is_being_made_or_failed_says_so(finished: OptimizationSession, status: Status, error: str) -> None:
    finished.steps.filter(candidate_key="c02", kind=StepKind.EVALUATE).delete()
    finished.steps.filter(key=LAST).update(status=status, error=error, result={}, artifact=None)

    assert [link.state for link in row_of(finished, "c02").links] == ["completed", "completed", status]
    shown = chain_on_the_page(finished, "c02")
    assert f">{status.value}</span>" in shown
    assert error in shown


def test_links_that_were_not_asked_for_are_planned(finished: OptimizationSession) -> None:
    candidate = finished.candidates.get(key="c02")
    candidate.pk, candidate.key = None, "c09"
    candidate.steps[-1]["parameters"] = {"per_channel": True}
    candidate.save()

    assert [link.state for link in row_of(finished, "c09").links] == ["completed", "completed", "planned"]
    assert ">planned</span>" in chain_on_the_page(finished, "c09")
    finished.candidates.filter(key="c09").update(status="skipped")
    assert ">not applied</span>" in chain_on_the_page(finished, "c09")


def test_a_candidate_of_one_link_is_applied_to_the_original(finished: OptimizationSession) -> None:
    assert "Applied to the original" in chain_on_the_page(finished, "c03")


def test_further_candidates_cost_the_live_page_no_further_query(finished: OptimizationSession) -> None:
    live.read(finished)
    with CaptureQueriesContext(connection) as few:
        live.read(finished)
    for number in range(10, 20):
        candidate = finished.candidates.get(key="c02")
        candidate.pk, candidate.key = None, f"c{number}"
        candidate.save()
    with CaptureQueriesContext(connection) as many:
        live.read(finished)
    assert len(many) == len(few)


@pytest.mark.parametrize("where", ["report", "session-detail", "package"])
def test_what_a_technique_found_out_stands_under_its_link(
    finished: OptimizationSession, engineer: User, client: Client, where: str
) -> None:
    client.force_login(engineer)
    html = (
        report_html(report(finished))
        if where == "package"
        else client.get(reverse(f"optimization:{where}", args=[finished.pk])).content.decode()
    )
    start = html.index("What Title of onnx-dynamic-int8 found out while it was applied")
    table = html[start : html.index("</table>", start)]

    for name, text in (("left in float", "/head/MatMul"), ("smoothing alpha", "0.55"), ("smoothing sites", "12")):
        assert f'<tr><th scope="row">{name}</th><td>{text}</td></tr>' in table
    assert "nothing" not in table
    assert html.count("found out while it was applied") == 1, "other links found out nothing"


def test_the_api_has_it_as_it_was_stored(finished: OptimizationSession, engineer: User, client: Client) -> None:
    client.force_login(engineer)
    address = f"/api/v1/sessions/{finished.pk}"
    steps: list[dict[str, Any]] = client.get(f"{address}/steps/").json()
    candidates: list[dict[str, Any]] = client.get(f"{address}/candidates/").json()

    assert {step["key"]: step["evidence"] for step in steps if step["evidence"]} == {LAST: FOUND}
    (made,) = (one["steps"] for one in candidates if one["key"] == "c02")
    assert [link["evidence"] for link in made] == [{}, {}, FOUND]
    assert made[-1]["size_bytes"] == material.RESULT.size_bytes
    told = client.get(f"{address}/report/").json()["candidates"]
    assert [one["steps"][-1]["evidence"] for one in told if one["key"] == "c02"] == [FOUND]
