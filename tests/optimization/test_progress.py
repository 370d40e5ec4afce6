"""What a session shows of its course: it moves while steps run, and the time left is true from a third on."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.agents.contracts.criteria import PROFILES
from apps.agents.contracts.forecast import Forecast
from apps.agents.contracts.job import Progress, QuietWait
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.state import (
    JUDGING,
    JUDGING_ALL,
    JUDGING_WAIT,
    Decision,
    Phase,
    Status,
    StepKind,
    StepRequest,
)
from apps.agents.session import manager
from apps.models import clock
from apps.optimization import pipeline
from apps.optimization.durations import WAITS, usual_s_beside
from apps.optimization.models import OptimizationSession, SessionStep
from apps.optimization.progress import ALMOST, course_of, courses_of, remaining_s
from apps.optimization.runner import StepRun
from tests.agents.inmemory import InMemoryPipeline, Run, World, minilm, resnet

# --- sessions replayed -----------------------------------------------------------------------------------------------

USUAL = {"analyse": 22.0, "plan": 0.3, "optimize": 9.0, "evaluate": 13.0, "judge": 45.0, "package": 4.0, "refine": 2.0}
"""How long steps of the sample models take on a quiet machine, in seconds."""
LONGER = {"decompose": 18.0, "prune": 25.0, "graph": 3.0}
"""Techniques by part of their names."""
FACTOR = 1.5
BRIEF_S = 12.0
"""Below this, seconds are compared and not their ratio."""
EVERY_S = 2.0
T0 = datetime(2026, 11, 27, tzinfo=UTC)


class Timed(World):
    """A world in which steps take as long as on a real machine, up to a third more or less, differently each."""

    seed = 0

    def takes_s(self, request: StepRequest) -> float:
        judges = request.parameters.get("part") == Part.EVALUATION
        usual = USUAL["judge" if judges else request.kind.value]
        if request.kind is StepKind.OPTIMIZE:
            usual = next((s for name, s in LONGER.items() if name in (request.technique or "")), usual)
        return round(usual * random.Random(f"{self.seed}{request.key}").uniform(0.75, 1.35), 1)


def replayed(world: World, profile: str, seed: int, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Run:
    """A session of the real manager, after earlier sessions that have shown how long steps take."""
    timed = Timed(**{one.name: getattr(world, one.name) for one in fields(world)})
    object.__setattr__(timed, "seed", seed)
    decide = manager.OptimizationManager.next

    def knowing(self: manager.OptimizationManager, state: Any) -> Decision:
        return decide(self, state.model_copy(update={"usual_s": USUAL}))

    monkeypatch.setattr(manager.OptimizationManager, "next", knowing)
    return InMemoryPipeline(timed, PROFILES[profile], **options).run()


@dataclass(frozen=True)
class Moment:
    """What is shown at a time of a session, and what is true."""

    at: float
    """The share of its time that is over."""
    left_s: float
    shown_s: float
    progress: float
    planned: bool

    @property
    def is_true(self) -> bool:
        if self.left_s < BRIEF_S:
            return abs(self.shown_s - self.left_s) <= BRIEF_S
        return 1 / FACTOR <= self.shown_s / self.left_s <= FACTOR


def moments(run: Run) -> Iterator[Moment]:
    """The session every two seconds, while its steps run one after the other and report nothing."""
    end_s = run.state.worked_s
    highest = 0.0
    for state, decision, following in zip(run.states, run.decisions, run.states[1:], strict=False):
        forecast = decision.forecast
        assert forecast is not None
        (key,) = forecast.steps
        began = T0 + timedelta(seconds=state.worked_s)
        step = SessionStep(key=key, status=Status.RUNNING, started_at=began)
        now_s = state.worked_s
        while now_s < following.worked_s:
            shown_s = remaining_s(forecast, [step], T0 + timedelta(seconds=now_s))
            highest = max(highest, now_s / (now_s + shown_s))
            yield Moment(now_s / end_s, end_s - now_s, shown_s, highest, forecast.planned)
            now_s += EVERY_S


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("profile", ["balanced", "fastest"])
@pytest.mark.parametrize(
    ("world", "options"),
    [(resnet, {}), (resnet, {"disabled": ()}), (minilm, {})],
    ids=["resnet", "resnet with pruning", "minilm"],
)
def test_the_time_left_is_true_from_a_third_of_the_way_on(
    world: Callable[[], World], options: dict[str, Any], profile: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = list(moments(replayed(world(), profile, seed, monkeypatch, **options)))
    late = [moment for moment in course if moment.at >= 1 / 3]
    assert len(late) > 20
    assert all(moment.planned for moment in late)
    assert [moment for moment in late if not moment.is_true] == []


@pytest.mark.parametrize("profile", ["balanced", "fastest"])
def test_surprises_are_told_soon(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where candidates lose far more than predicted, and repairs follow, the time left is wrong for a while only."""
    run = replayed(resnet(fragile_operators={"Add": 4.0}), profile, 1, monkeypatch)
    late = [moment for moment in moments(run) if moment.at >= 1 / 3]
    assert sum(not moment.is_true for moment in late) <= 0.2 * len(late)


@pytest.mark.parametrize("world", [resnet, minilm])
def test_progress_neither_jumps_nor_freezes(world: Callable[[], World], monkeypatch: pytest.MonkeyPatch) -> None:
    course = [moment.progress for moment in moments(replayed(world(), "balanced", 1, monkeypatch))]
    steps = [after - before for before, after in pairwise(course)]
    assert max(steps) <= 0.2
    tenth = len(course) // 10
    assert all(course[place + 2 * tenth] > course[place] for place in range(len(course) - 2 * tenth))


# --- what is shown ---------------------------------------------------------------------------------------------------


@pytest.fixture
def working(session: OptimizationSession, monkeypatch: pytest.MonkeyPatch) -> OptimizationSession:
    """A session whose step has run for 30 of 60 foreseen seconds; 90 more are to follow. The clock stands still."""
    pipeline.advance(session.pk)
    step = session.steps.get()
    assert step.take("w:1", timedelta(minutes=5))
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)
    session.steps.update(started_at=now - timedelta(seconds=30))
    foreseen = Forecast(steps={step.key: 60.0}, later_s=90.0).model_dump(mode="json")
    OptimizationSession.objects.filter(pk=session.pk).update(forecast=foreseen, progress=0.0)
    session.refresh_from_db()
    return session


def course(session: OptimizationSession, later_s: float = 0.0) -> tuple[float, float | None]:
    found = course_of(session, session.steps.all(), clock.now() + timedelta(seconds=later_s))
    return found.progress, found.eta_s


@pytest.mark.django_db
def test_both_move_while_a_step_runs(working: OptimizationSession) -> None:
    assert course(working) == (pytest.approx(30 / 150, abs=0.02), pytest.approx(120, abs=3))
    assert course(working, 20) == (pytest.approx(50 / 150, abs=0.02), pytest.approx(100, abs=3))


@pytest.mark.django_db
def test_a_step_that_takes_longer_than_foreseen_is_expected_to_take_longer_still(working: OptimizationSession) -> None:
    _, eta_s = course(working, 170)
    assert eta_s == pytest.approx(0.2 * 200 + 90, abs=3)


@pytest.mark.django_db
def test_what_a_step_reports_counts_the_more_the_further_it_is(working: OptimizationSession) -> None:
    working.steps.update(progress=0.9)
    _, eta_s = course(working)
    assert eta_s == pytest.approx(0.19 * 30 + 0.81 * 30 / 9 + 90, abs=3)


@pytest.mark.django_db
def test_a_step_that_waits_for_a_quiet_machine_adds_how_long_it_may_still_wait(working: OptimizationSession) -> None:
    step = working.steps.get()
    assert step.note_quiet_wait(QuietWait(so_far_s=4.0, left_s=11.0))
    _, waiting_s = course(working)
    assert waiting_s == pytest.approx(60 - (30 - 4) + 11 + 90, abs=3)
    assert step.note_quiet_wait(QuietWait(so_far_s=6.0, left_s=0.0))
    assert course(working)[1] == pytest.approx(60 - (30 - 6) + 90, abs=3)


@pytest.mark.django_db
@pytest.mark.parametrize(("waited_s", "left_s"), [(None, 60 - 30 + 90), (0.0, 60 - 10 - 30 + 90), (10.0, 120)])
def test_a_foreseen_wait_counts_until_the_step_says_how_long_it_waited(
    waited_s: float | None, left_s: float, working: OptimizationSession
) -> None:
    assert working.forecast is not None
    working.forecast |= {"waits": {"analyse": 10.0}}
    working.steps.update(quiet_waited_s=waited_s)
    assert course(working)[1] == pytest.approx(left_s, abs=3)


@pytest.mark.django_db
def test_the_last_word_about_a_wait_is_kept_until_the_step_runs_again(session: OptimizationSession) -> None:
    pipeline.advance(session.pk)
    step = session.steps.get()
    assert step.take("w:1", timedelta(minutes=5))
    run = StepRun(step)
    run.on_event(Progress(fraction=0.5, message="Waiting", quiet_wait=QuietWait(so_far_s=3.0, left_s=12.0)))
    run.on_event(Progress(fraction=0.6, message="Timing"))
    run._write()
    step.refresh_from_db()
    assert (step.message, step.quiet_waited_s, step.quiet_left_s) == ("Timing", 3.0, 12.0)

    assert step.hand_back(reason="Its worker stopped.")
    assert step.take("w:2", timedelta(minutes=5))
    assert (step.quiet_waited_s, step.quiet_left_s) == (None, 0.0)


@pytest.mark.django_db
def test_progress_never_goes_back_and_is_not_done_before_the_end(working: OptimizationSession) -> None:
    working.progress = 0.7
    assert course(working)[0] == 0.7
    working.progress = 1.0
    assert course(working)[0] == ALMOST


@pytest.mark.django_db
def test_before_the_plan_no_time_is_shown(session: OptimizationSession) -> None:
    pipeline.advance(session.pk)
    session.refresh_from_db()
    assert session.phase == Phase.ANALYSING
    assert course(session) == (0.0, None)


@pytest.mark.django_db
def test_page_dashboard_and_api_show_the_same(client: Client, engineer: User, working: OptimizationSession) -> None:
    client.force_login(engineer)
    api = APIClient()
    api.force_authenticate(engineer)
    told = api.get(f"/api/v1/sessions/{working.pk}/").json()
    assert told["progress"] == pytest.approx(0.2, abs=0.02)
    assert told["eta_s"] == pytest.approx(120, abs=3)
    page = client.get(working.get_absolute_url()).content.decode()
    dashboard = client.get("/").content.decode()
    for html in (page, dashboard):
        assert re.search(r"about (1 min 5\d s|2 min( \d s)?) of work left", html)


@pytest.mark.django_db
def test_many_sessions_cost_one_query(
    working: OptimizationSession, start: Callable[..., OptimizationSession], django_assert_num_queries: Any
) -> None:
    sessions = [working, *(start() for _ in range(3))]
    with django_assert_num_queries(1):  # the steps
        found = courses_of(sessions)
    assert found[working.pk].eta_s == pytest.approx(120, abs=3)


@pytest.mark.django_db
def test_steps_of_the_same_model_and_data_say_how_long_they_take(
    working: OptimizationSession, start: Callable[..., OptimizationSession]
) -> None:
    def ended(kind: StepKind, seconds: float, **parameters: str) -> None:
        key = f"{kind}{seconds}"
        row = {"status": Status.COMPLETED, "started_at": T0, "finished_at": T0 + timedelta(seconds=seconds)}
        working.steps.create(key=key, kind=kind, parameters=parameters, **row)

    ended(StepKind.EVALUATE, 10.0, part=Part.CHOOSING)
    ended(StepKind.EVALUATE, 14.0, part=Part.CHOOSING)
    ended(StepKind.EVALUATE, 50.0, part=Part.EVALUATION)
    ended(StepKind.EVALUATE, 60.0, part=Part.EVALUATION)
    assert usual_s_beside(start()) == {"evaluate": 12.0, "judge": 55.0, "judge all": 110.0}
    assert usual_s_beside(working) == {}


@pytest.mark.django_db
def test_waits_for_a_quiet_machine_are_told_apart_and_the_last_ones_count(
    working: OptimizationSession, start: Callable[..., OptimizationSession]
) -> None:
    for number in range(WAITS + 4):
        waited_s = 15.0 if number < 4 else float(number % 2)
        working.steps.create(
            key=f"judge {number}",
            kind=StepKind.EVALUATE,
            parameters={"part": Part.EVALUATION},
            status=Status.COMPLETED,
            started_at=T0,
            finished_at=T0 + timedelta(seconds=40 + waited_s),
            quiet_waited_s=waited_s,
        )
    usual = usual_s_beside(start())
    assert (usual[JUDGING], usual[JUDGING_WAIT]) == (40.0, 0.5)
    assert usual[JUDGING_ALL] == 40.0 * (WAITS + 4)
