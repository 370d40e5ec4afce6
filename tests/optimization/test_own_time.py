"""A session's budget is its own time: what its steps ran, and not what it waited behind others."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import DateTimeField, Value

from apps.accounts.models import User
from apps.agents.contracts.criteria import Budget, Criteria
from apps.agents.contracts.state import Outcome, Status, StepKind
from apps.audit.models import AuditEvent
from apps.models import clock
from apps.optimization import own_time, pipeline, querysets, services, snapshot, waiting
from apps.optimization.models import OptimizationSession, SessionStep, Worker
from apps.optimization.models import step as step_module
from apps.optimization.outcomes import keep_report
from apps.optimization.progress import courses_of
from apps.optimization.runner import StepRun
from tests.optimization import crank, material

pytestmark = pytest.mark.django_db(transaction=True)

START = datetime(2100, 3, 1, 12, tzinfo=UTC)
"""After everything that the tests' own clock writes."""
LEASE = timedelta(hours=1)
BODIES = {
    StepKind.ANALYSE: material.ANALYSIS,
    StepKind.PLAN: material.PLAN,
    StepKind.OPTIMIZE: material.RESULT,
    StepKind.EVALUATE: material.evaluation(),
}
Start = Callable[..., OptimizationSession]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@dataclass
class FakeClock:
    """The database's clock, moved by hand."""

    now: datetime = START

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def expression(self) -> Value:
        return Value(self.now, output_field=DateTimeField())


@pytest.fixture
def fake_clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake = FakeClock()
    for module in (clock, step_module, querysets):
        monkeypatch.setattr(module, "Now", fake.expression)
    monkeypatch.setattr("apps.optimization.messages.Now", fake.expression)
    monkeypatch.setattr(clock, "now", lambda: fake.now)
    monkeypatch.setattr(clock, "after", lambda delay: Value(fake.now + delay, output_field=DateTimeField()))
    return fake


@dataclass
class OneWorker:
    """Takes one step after the other in the order in which they were announced; each lasts `step_s`."""

    clock: FakeClock
    step_s: float = 15.0
    done: list[str] = field(default_factory=list)

    def work(self, *sessions: OptimizationSession) -> None:
        for session in sessions:
            pipeline.advance(session.pk)
        while (step := self.take()) is not None:
            self.finish(step)

    def take(self) -> SessionStep | None:
        list(crank.messages())
        queued = SessionStep.objects.filter(status=Status.QUEUED).order_by("enqueued_at", "pk").first()
        if queued is not None:
            assert queued.take("shed:1", LEASE)
        return queued

    def finish(self, step: SessionStep) -> None:
        self.clock.sleep(self.step_s)
        self.done.append(f"{step.session_id.hex[:4]} {step.key}")
        body = BODIES[StepKind(step.kind)].model_dump(mode="json") if step.kind in BODIES else {}
        assert step.complete(body)
        if body:
            keep_report(step)
        pipeline.advance(step.session_id)


def minutes(budget: float) -> Criteria:
    return Criteria(budget=Budget(minutes=budget, candidates=1))


# --- the budget ------------------------------------------------------------------------------------------------------


def test_three_equal_sessions_on_one_worker_each_try_what_one_alone_tries(start: Start, fake_clock: FakeClock) -> None:
    """Side by side each lasts three times as long by the clock, which is beyond its two minutes."""
    sessions = [start(criteria=minutes(2.0)) for _ in range(3)]
    OneWorker(fake_clock, step_s=20.0).work(*sessions)
    for session in sessions:
        session.refresh_from_db()
        assert (session.status, session.outcome) == (Status.COMPLETED, Outcome.IMPROVED), session.verdict
        steps = session.steps.count()
        assert session.worked_s == pytest.approx(20.0 * steps)
        assert session.elapsed_s() > 2 * 120
        assert session.waited_s() == pytest.approx(session.elapsed_s() - session.worked_s)
        event = AuditEvent.objects.get(session_id=session.pk, action="session.completed")
        assert event.data["worked_s"] == pytest.approx(20.0 * steps)
        assert event.data["waited_s"] > 100
        assert session.log.filter(message__contains="minutes and waited for").exists()
        report = services.report(session)
        assert (report.worked_s, report.waited_s) == (session.worked_s, session.waited_s())


def test_the_time_that_is_left_is_that_of_the_sessions_own_steps(start: Start, fake_clock: FakeClock) -> None:
    session = start()
    worker = OneWorker(fake_clock)
    pipeline.advance(session.pk)
    fake_clock.sleep(3600)
    for _ in range(4):
        step = worker.take()
        assert step is not None
        worker.finish(step)
    session.refresh_from_db()
    course = courses_of([session])[session.pk]
    assert course.eta_s is not None
    assert course.eta_s == pytest.approx(60.0 * (1 - course.progress) / course.progress, rel=0.01)
    assert (session.own_time_s(), session.waited_s(fake_clock.now)) == (60.0, 3600.0)


def test_a_session_whose_own_time_is_over_is_not_measured_and_says_how_long_it_takes(
    start: Start, fake_clock: FakeClock
) -> None:
    session = start(criteria=minutes(1.0))
    OneWorker(fake_clock, step_s=40.0).work(session)
    session.refresh_from_db()
    assert session.outcome == Outcome.NOT_MEASURED
    assert session.verdict is not None
    assert "(its steps ran for 1.3)" in session.verdict["reason"]
    assert "at least about 3 minutes instead of 1" in session.verdict["advice"]


# --- what counts -----------------------------------------------------------------------------------------------------


@pytest.fixture
def step(session: OptimizationSession, fake_clock: FakeClock) -> SessionStep:
    pipeline.advance(session.pk)
    list(crank.messages())
    return session.steps.get()


def own_s(session: OptimizationSession) -> float:
    return OptimizationSession.objects.get(pk=session.pk).own_time_s()


def test_a_try_that_failed_counts_and_the_wait_after_it_does_not(step: SessionStep, fake_clock: FakeClock) -> None:
    assert step.take("shed:1", LEASE)
    fake_clock.sleep(30)
    assert step.hand_back(reason="Memory ran out.", wait=timedelta(seconds=100))
    fake_clock.sleep(100)
    step.refresh_from_db()
    assert (step.duration_s, step.started_at) == (None, None)
    assert own_s(step.session) == 30
    assert step.take("shed:1", LEASE)
    fake_clock.sleep(12)
    assert own_s(step.session) == 42
    assert snapshot.session_state(step.session).worked_s == 42
    assert step.complete({})
    fake_clock.sleep(60)
    step.refresh_from_db()
    assert (step.duration_s, own_s(step.session)) == (12, 42)


def test_a_worker_that_fell_silent_counts_until_its_lease_ran_out(step: SessionStep, fake_clock: FakeClock) -> None:
    assert step.take("shed:1", timedelta(seconds=30))
    fake_clock.sleep(600)
    assert own_s(step.session) == 30
    assert step.hand_back(reason="The worker fell silent.", stale=True)
    fake_clock.sleep(600)
    assert own_s(step.session) == 30


def test_a_long_wait_stands_in_the_log_beside_what_the_step_says(step: SessionStep, fake_clock: FakeClock) -> None:
    fake_clock.sleep(125)
    assert step.take("shed:1", LEASE)
    assert step.waited_s == 125
    StepRun(step)._tell_wait()
    line = step.session.log.get(step_key="analyse")
    assert line.message == "The step waited 125 s in the queue, which the budget does not count."


def test_steps_that_run_side_by_side_count_once(session: OptimizationSession, fake_clock: FakeClock) -> None:
    for begin, end in ((0, 60), (30, 90), (120, 130)):
        SessionStep.objects.create(
            session=session,
            key=f"at {begin}",
            kind=StepKind.OPTIMIZE,
            status=Status.COMPLETED,
            started_at=at(begin),
            finished_at=at(end),
        )
    assert own_s(session) == 100


@pytest.mark.parametrize(
    ("spans", "seconds"),
    [([], 0), ([(0, 10), (10, 20)], 20), ([(0, 100), (10, 20), (15, 120)], 120), ([(50, 60), (0, 5)], 15)],
)
def test_the_union_of_spans(spans: list[tuple[int, int]], seconds: float) -> None:
    assert own_time.union_s((at(begin), at(end)) for begin, end in spans) == seconds


def test_a_resumed_session_keeps_its_own_time_and_the_pause_is_not_part_of_it(
    session: OptimizationSession, step: SessionStep, fake_clock: FakeClock, engineer: User
) -> None:
    assert step.take("shed:1", LEASE)
    fake_clock.sleep(25)
    assert step.fail("test.unfit", "It cannot be done.")
    pipeline.advance(session.pk)
    assert own_s(session) == 25
    fake_clock.sleep(3600)
    services.session_resume(OptimizationSession.objects.get(pk=session.pk), engineer)
    assert own_s(session) == 25
    step.refresh_from_db()
    assert step.take("shed:1", LEASE)
    fake_clock.sleep(10)
    assert own_s(session) == 35


# --- the place in the queue ------------------------------------------------------------------------------------------


@pytest.fixture
def worker_at(fake_clock: FakeClock) -> Worker:
    return Worker.objects.create(
        name="shed:1", queues=["cpu"], machine=material.MACHINE.model_dump(mode="json"), seen_at=fake_clock.now
    )


def test_sessions_that_wait_say_their_place_and_an_estimate(
    start: Start, fake_clock: FakeClock, worker_at: Worker
) -> None:
    sessions = [start() for _ in range(3)]
    worker = OneWorker(fake_clock, step_s=60.0)
    worker.work(start())  # what steps usually take: a minute
    worker_at.seen_at = fake_clock.now
    for session in sessions:
        pipeline.advance(session.pk)
        fake_clock.sleep(1)
    running = worker.take()
    assert running is not None
    worker_at.current_step = running
    worker_at.save()
    assert running.note_progress(progress=0.5, message="Half", eta_s=30.0)
    waits = waiting.waits_of(OptimizationSession.objects.active())
    assert sessions[0].pk not in waits, "it runs"
    assert [(waits[s.pk].place, waits[s.pk].estimate_s) for s in sessions[1:]] == [(1, 30.0), (2, 90.0)]
    assert waits[sessions[1].pk].sentence == "next in the queue, about 30 seconds"
    assert waits[sessions[2].pk].sentence == "2nd in the queue, about 2 minutes"
    # Nobody says how long it will take: what such steps usually take, less what it ran.
    fake_clock.sleep(20)
    SessionStep.objects.filter(pk=running.pk).update(eta_s=None)
    waits = waiting.waits_of(OptimizationSession.objects.active())
    assert waits[sessions[1].pk].estimate_s == pytest.approx(40.0)
    # Two workers halve the line.
    Worker.objects.create(name="shed:2", queues=["cpu"], machine=worker_at.machine, seen_at=fake_clock.now)
    waits = waiting.waits_of(OptimizationSession.objects.active())
    assert [waits[s.pk].estimate_s for s in sessions[1:]] == [0.0, pytest.approx(40.0)]


@pytest.mark.usefixtures("worker_at")
def test_a_step_in_a_backoff_waits_at_least_as_long(step: SessionStep) -> None:
    assert step.take("shed:1", LEASE)
    assert step.hand_back(reason="Again.", wait=timedelta(seconds=90))
    waits = waiting.waits_of([step.session])
    assert waits[step.session_id].estimate_s == 90.0


def test_where_no_worker_serves_the_queue_there_is_no_estimate_and_it_is_said(step: SessionStep) -> None:
    wait = waiting.waits_of([step.session])[step.session_id]
    assert (wait.workers, wait.estimate_s) == (0, None)
    assert wait.sentence == "next in the queue, and no live worker serves the queue cpu"


def test_a_session_that_has_not_begun_stands_in_line_too_and_one_that_ended_does_not(
    start: Start, fake_clock: FakeClock, worker_at: Worker
) -> None:
    first, second = start(), start()
    assert [waiting.waits_of([first, second])[one.pk].place for one in (first, second)] == [1, 2]
    OptimizationSession.objects.filter(pk=first.pk).update(status=Status.CANCELLED)
    first.refresh_from_db()
    assert waiting.waits_of([first]) == {}
    assert waiting.waits_of([second])[second.pk].place == 1


@pytest.mark.parametrize(
    ("place", "said"), [(2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (21, "21st"), (113, "113th")]
)
def test_places_are_said_as_people_say_them(place: int, said: str) -> None:
    assert waiting._sentence("cpu", place, 1, math.inf) == f"{said} in the queue"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (1, "a few seconds"),
        (8, "about 10 seconds"),
        (44, "about 40 seconds"),
        (56, "about 1 minute"),
        (240, "about 4 minutes"),
        (7200, "about 2 hours"),
        (10**6, "about 12 days"),
    ],
)
def test_times_are_said_roughly(seconds: float, said: str) -> None:
    assert waiting.about(seconds) == said
