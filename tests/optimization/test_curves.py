"""Curves of a training: kept while it runs, drawn over after a step back, and shown on the page and in the report."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.agents.contracts.job import MetricValue
from apps.agents.contracts.state import Status, StepKind
from apps.optimization import curves, jobs, live, pipeline, runner, services
from apps.optimization.curves import MOST_CURVES, MOST_POINTS, Chart, extended
from apps.optimization.models import OptimizationSession, SessionStep
from apps.optimization.rendering import report_html
from tests.optimization import crank, exported, handlers

LOSS = {"held-out loss": [[0, 2.5], [12, 1.5], [24, 1.75]], "training loss": [[12, 2.0], [24, 1.25]]}


def points(name: str, *pairs: tuple[int, float]) -> list[MetricValue]:
    return [MetricValue(name=name, value=value, step=step) for step, value in pairs]


def test_a_training_that_went_back_to_a_checkpoint_draws_over_what_it_lost() -> None:
    before = extended({}, points("loss", (1, 9.0), (2, 8.0), (3, 7.0)))
    assert extended(before, points("loss", (2, 6.0), (4, 5.0))) == {"loss": [(1, 9.0), (2, 6.0), (4, 5.0)]}
    assert before == {"loss": [(1, 9.0), (2, 8.0), (3, 7.0)]}


def test_long_and_many_curves_stay_small_and_keep_their_ends() -> None:
    last = 10 * MOST_POINTS
    found = extended({}, points("loss", *((step, float(step)) for step in range(last + 1))))
    assert len(found["loss"]) <= MOST_POINTS
    assert (found["loss"][0], found["loss"][-1]) == ((0, 0.0), (last, float(last)))
    assert len(extended({}, (one for number in range(20) for one in points(f"{number}", (1, 1.0))))) == MOST_CURVES


@pytest.mark.parametrize(
    "values", [[3.0], [3.0, 3.0], [0.0, 0.0], [1e-7, 2e-7], [-5.0, 4.0], [1e9, 1.0], [-1e308, 1e308]]
)
def test_any_values_lie_within_the_picture_between_round_marks(values: list[float]) -> None:
    chart = Chart(extended({}, points("lo\x00ss" * 99, *enumerate(values))))
    assert "\x00" not in chart.lines[0].name
    drawn = [float(number) for number in re.findall(r"-?[\d.]+", chart.lines[0].path.replace("h0", ""))]
    assert all(0 <= number <= 1000 for number in drawn)
    assert all(0 <= tick.y <= 1000 for tick in chart.ticks)
    assert 3 <= len(chart.ticks) <= 2 * curves.TICKS
    decimals = {len(tick.label.partition(".")[2]) for tick in chart.ticks if "e" not in tick.label}
    assert len(decimals) <= 1, "marks of one axis have the same digits"
    assert [float(tick.label) for tick in chart.ticks] == pytest.approx([tick.value for tick in chart.ticks], rel=0.01)


@pytest.fixture
def finished(session: OptimizationSession, db: None) -> OptimizationSession:
    """Its candidate c02 was trained in its last link."""
    done = exported.finish(session)
    done.steps.filter(key="c02/optimize").update(curves=LOSS)
    return done


def test_the_live_page_draws_the_running_training_and_says_in_words_what_it_shows(
    finished: OptimizationSession,
) -> None:
    finished.steps.filter(key="c02/optimize").update(status=Status.RUNNING)
    shown = live.fragments(finished, writes=False)["curves"]
    assert "<title>held-out loss and training loss over 24 steps of training</title>" in shown
    assert "The held-out loss goes from 2.50 to 1.75 at step 24; it is lowest, 1.50, at step 12." in shown
    assert shown.count('<path class="curve curve-') == 4, "two lines and their two keys"
    assert 'd="M500.0 ' in shown, "the training loss begins half way"
    assert "curves-picture" not in live.fragments(finished, writes=False)["candidates"]


def test_without_a_training_the_page_shows_no_empty_card(session: OptimizationSession, db: None) -> None:
    assert 'id="session-curves" hidden' in live.fragments(session, writes=False)["curves"]


def test_what_was_trained_stays_in_the_chain_the_report_the_package_and_the_api(
    finished: OptimizationSession, client: Client, viewer: User
) -> None:
    assert "curves-picture" in live.fragments(finished, writes=False)["candidates"]
    report = services.report(finished)
    link = next(one for one in report.candidates if one.key == "c02").last
    assert link.curves == {name: [tuple(pair) for pair in pairs] for name, pairs in LOSS.items()}
    assert "curves-picture" in report_html(report)
    client.force_login(viewer)
    assert b"curves-picture" in client.get(reverse("optimization:report", args=[finished.pk])).content
    steps = client.get(f"/api/v1/sessions/{finished.pk}/steps/").json()
    assert next(step for step in steps if step["key"] == "c02/optimize")["curves"] == LOSS


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("stored", "small_handlers", "impatient")
def test_points_are_drawn_once_a_second_and_fill_no_log(
    session: OptimizationSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(jobs.HANDLERS, StepKind.ANALYSE, "tests.optimization.handlers:learn_in_many_steps")
    written = counted(monkeypatch, SessionStep.note_curves)
    pipeline.advance(session.pk)
    list(crank.messages())
    step = session.steps.get()
    runner.run_step(step.pk)
    step.refresh_from_db()
    assert step.status == Status.COMPLETED
    assert step.curves["loss"][-1] == [handlers.MANY_STEPS, 1 / handlers.MANY_STEPS]
    assert 2 <= len(written) <= 4, "for a second and a half of work"
    assert not session.log.filter(message__contains="loss").exists()


def counted(monkeypatch: pytest.MonkeyPatch, method: Callable[..., Any]) -> list[None]:
    """One element for each call of a method of a step from now on."""
    calls: list[None] = []

    def call(*arguments: Any) -> Any:
        calls.append(None)
        return method(*arguments)

    monkeypatch.setattr(SessionStep, method.__name__, call)
    return calls
