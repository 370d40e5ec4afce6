"""What keeps failing, whatever the model, is paused for a while; operators are told, and can end it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from apps.accounts.models import Team, User
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.faults import Fault
from apps.agents.contracts.job import JobFailure
from apps.agents.contracts.state import Outcome, Status, StepKind
from apps.audit import trail
from apps.audit.models import AuditEvent
from apps.models import clock
from apps.models.models import DataSet
from apps.notifications.models import BellEntry
from apps.optimization import breakers, jobs, pipeline, runner, services, sweeper, workers
from apps.optimization.errors.resources import TechniquePaused
from apps.optimization.models import Breaker, BreakerKind, OptimizationSession, PipelineSettings, SessionStep
from apps.optimization.waiting import waits_of
from tests.optimization import crank
from tests.optimization.conftest import make_version

pytestmark = pytest.mark.django_db(transaction=True)

DYNAMIC = "onnx-dynamic-int8"
HERE = "shed:1"
CRASH = JobFailure(code="step.killed", message="It crashed.", expected=True, transient=True, fault=Fault.CRASH)
TIMEOUT = JobFailure(code="step.timed_out", message="Too long.", expected=True, transient=False)
FULL = JobFailure(code="step.disk_failed", message="Full.", expected=True, transient=True, fault=Fault.INFRASTRUCTURE)
NOT_COUNTED = (
    JobFailure(code="technique.no_effect", message="No.", expected=True, transient=False),
    JobFailure(
        code="step.infrastructure_failed", message="x", expected=True, transient=True, fault=Fault.INFRASTRUCTURE
    ),
    JobFailure(code="model.run_failed", message="x", expected=True, transient=False, fault=Fault.ORIGINAL),
)


@pytest.fixture(autouse=True)
def limits(db: None) -> None:
    PipelineSettings.current()
    PipelineSettings.objects.update(breaker_failures=3, breaker_window_minutes=60, breaker_cooldown_minutes=30)


@pytest.fixture
def step(team: Team, engineer: User, dataset: DataSet) -> Callable[[str], SessionStep]:
    """A step that applies the technique to a model of this name."""

    def made(model: str) -> SessionStep:
        session = OptimizationSession.objects.create(
            team=team, version=make_version(team, engineer, model), dataset=dataset, criteria_body={}, seed=1
        )
        kind = {"kind": StepKind.OPTIMIZE, "technique": DYNAMIC}
        return SessionStep.objects.create(session=session, key="c01/optimize", **kind)

    return made


Step = Callable[[str], SessionStep]


def fail(*steps: SessionStep, failure: JobFailure = CRASH, worker: str = HERE) -> None:
    for one in steps:
        breakers.note_failure(one, worker, failure)


def later(**delay: int) -> None:
    """Lets time pass, by moving all that was noted into the past."""
    for row in Breaker.objects.all():
        for moment in ("opened_at", "closes_at"):
            if found := getattr(row, moment):
                setattr(row, moment, found - timedelta(**delay))
        failed = [breakers.Failed.model_validate(one) for one in row.failures]
        moved = [one.model_copy(update={"at": one.at - timedelta(**delay)}) for one in failed]
        row.failures = [one.model_dump(mode="json") for one in moved]
        row.save()


def test_a_technique_that_fails_on_different_models_is_paused(step: Step) -> None:
    models = [step(name) for name in "abc"]
    fail(models[0], models[1], models[1], models[1], worker="shed:2")
    assert breakers.left_out() == (), "one model may be at fault"
    fail(models[2], failure=TIMEOUT)
    assert breakers.left_out() == (DYNAMIC,)
    sentence = breakers.paused_techniques()[DYNAMIC]
    assert "3 different models in a row failed: its process crashed and took too long" in sentence
    assert "an operator can end the pause in the admin" in sentence
    assert not breakers.paused_workers()


def test_a_success_in_between_and_a_long_time_count_anew(step: Step) -> None:
    first, second, third = (step(name) for name in "abc")
    fail(first, second)
    breakers.note_success(first, HERE)
    fail(third)
    assert breakers.left_out() == ()
    later(minutes=61)
    fail(first, second)
    assert breakers.left_out() == ()
    assert not breakers.is_paused(HERE)


def test_after_the_pause_the_next_end_decides(step: Step) -> None:
    steps = [step(name) for name in "abc"]
    fail(*steps)
    later(minutes=31)
    assert breakers.left_out() == ()
    fail(steps[0])
    assert breakers.left_out() == (DYNAMIC,), "one failure is enough now"
    later(minutes=31)
    breakers.note_success(steps[0], "shed:2")
    fail(steps[0])
    assert breakers.left_out() == ()
    told = AuditEvent.objects.filter(subject="Dynamic int8").order_by("sequence")
    assert list(told.values_list("action", flat=True)) == ["breaker.opened", "breaker.opened", "breaker.closed"]
    assert trail.verify() is None


@pytest.mark.parametrize("failure", NOT_COUNTED, ids=lambda failure: failure.code)
def test_what_a_model_or_the_infrastructure_is_at_fault_for_is_not_counted(step: Step, failure: JobFailure) -> None:
    fail(*(step(name) for name in "abc"), failure=failure)
    assert not Breaker.objects.exists()


def test_a_full_disk_is_counted_against_its_worker_only(step: Step) -> None:
    fail(*(step(name) for name in "abc"), failure=FULL)
    assert list(breakers.paused_workers()) == [HERE]
    assert breakers.left_out() == ()
    assert "3 steps in a row failed: its process had no disk to write to" in breakers.paused_workers()[HERE]


def test_with_a_limit_of_none_nothing_is_paused(step: Step) -> None:
    PipelineSettings.objects.update(breaker_failures=0)
    fail(*(step(name) for name in "abc"))
    assert not Breaker.objects.exists()


def test_a_worker_that_is_gone_is_forgotten(step: Step, worker: object) -> None:
    fail(*(step(name) for name in "abc"), worker="gone:2")
    fail(step("d"))
    sweeper.sweep()
    assert list(Breaker.objects.filter(kind=BreakerKind.WORKER).values_list("name", flat=True)) == [HERE]


# --- what follows -----------------------------------------------------------------------------------------------------


def pause(kind: BreakerKind, name: str) -> Breaker:
    failed = breakers.Failed(of="1", at=clock.now(), how="crashed", session="x")
    row = Breaker(kind=kind, name=name, failures=[failed.model_dump(mode="json")])
    row.pause(clock.now(), timedelta(minutes=30))
    row.save()
    return row


def test_a_paused_technique_is_not_planned_and_the_plan_says_why(
    start: Callable[..., OptimizationSession], engineer: User
) -> None:
    pause(BreakerKind.TECHNIQUE, DYNAMIC)
    session = start(start_anyway=True)
    preview = services.session_preview(session.version, session.dataset, Criteria())
    (omission,) = [one for one in preview.plan.omitted if one.technique == DYNAMIC]
    assert omission.reason.startswith("Dynamic int8 has been paused since ")
    (judged,) = [one for one in preview.compatibility if one.technique == DYNAMIC]
    assert (judged.compatible, judged.reason) == (False, omission.reason)
    with pytest.raises(TechniquePaused, match=r"Dynamic int8 has been paused since .* because its process crashed"):
        start(criteria=Criteria(allowed_techniques=(DYNAMIC,)))


@pytest.mark.usefixtures("stored", "small_handlers", "impatient")
def test_a_session_tells_its_plan_step_which_techniques_are_paused(session: OptimizationSession) -> None:
    pause(BreakerKind.TECHNIQUE, DYNAMIC)
    pipeline.advance(session.pk)
    crank.turn_until_quiet()
    plan = session.steps.get(key="plan")
    assert plan.parameters["disabled_techniques"] == [DYNAMIC]
    assert plan.parameters["paused_techniques"][DYNAMIC].startswith("Dynamic int8 has been paused since ")


def test_a_paused_worker_claims_no_step_and_leaves_it_to_others(session: OptimizationSession) -> None:
    pipeline.advance(session.pk)
    list(crank.messages())
    row = pause(BreakerKind.WORKER, workers.name())
    step = session.steps.get()
    runner.run_step(step.pk)
    step.refresh_from_db()
    assert (step.status, step.attempt) == (Status.QUEUED, 0)
    assert [message.args[0] for message in crank.messages("cpu")] == [step.pk]
    row.delete()
    assert not breakers.is_paused(workers.name())


@pytest.mark.usefixtures("stored", "small_handlers", "impatient")
def test_the_steps_of_a_session_are_counted(
    start: Callable[..., OptimizationSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    PipelineSettings.objects.update(breaker_failures=1)
    monkeypatch.setitem(jobs.HANDLERS, StepKind.OPTIMIZE, "tests.optimization.handlers:crash")
    session = start()
    for _ in range(40):
        crank.turn()
        if Breaker.objects.exists():
            break
    assert set(Breaker.objects.values_list("kind", "name")) >= {(BreakerKind.WORKER, workers.name())}
    monkeypatch.setitem(jobs.HANDLERS, StepKind.OPTIMIZE, "tests.optimization.handlers:optimize")
    later(minutes=31)
    crank.turn_until_quiet()
    session.refresh_from_db()
    assert session.outcome == Outcome.IMPROVED
    assert not Breaker.objects.exists(), "what has succeeded since works as usual"


def test_a_session_that_only_paused_workers_could_go_on_with_says_so(session: OptimizationSession, worker: Any) -> None:
    pipeline.advance(session.pk)
    pause(BreakerKind.WORKER, worker.name)
    wait = waits_of([session])[session.pk]
    assert "every worker of the queue cpu is paused after failures" in wait.sentence


# --- shown ------------------------------------------------------------------------------------------------------------


def test_operators_are_told_and_members_see_it(step: Step, owner: User, engineer: User, worker: object) -> None:
    User.objects.filter(pk=owner.pk).update(is_staff=True)
    fail(*(step(name) for name in "abc"))
    told = BellEntry.objects.filter(notification__kind="breaker.opened").values_list("user", "notification__title")
    assert sorted(told) == [(owner.pk, "Dynamic int8 is paused"), (owner.pk, f"{HERE} is paused")]

    page = Client()
    page.force_login(engineer)
    shown = page.get(reverse("optimization:workers")).content.decode()
    assert shown.count("in a row failed") == 2
    api = APIClient()
    api.force_authenticate(engineer)
    (row,) = api.get("/api/v1/workers/").json()["results"]
    assert row["paused"].startswith(f"{HERE} has been paused since ")
    paused = {one["spec"]["name"]: one["paused"] for one in api.get("/api/v1/techniques/").json() if one["paused"]}
    assert list(paused) == [DYNAMIC]


def test_an_operator_ends_a_pause_in_the_admin() -> None:
    row = pause(BreakerKind.TECHNIQUE, DYNAMIC)
    operator = User.objects.create_superuser("otto@example.org", "correct horse battery")
    desk = Client()
    desk.force_login(operator)
    address = reverse("admin:optimization_breaker_changelist")
    assert "Dynamic" not in desk.get(address, {"q": "nothing"}).content.decode()
    desk.post(address, {"action": "close", "_selected_action": [row.pk]})
    assert breakers.left_out() == ()
    event = AuditEvent.objects.get(action="breaker.closed")
    assert (event.actor, event.subject) == (operator.email, "Dynamic int8")


def test_who_may_not_change_the_limits_ends_no_pause() -> None:
    row = pause(BreakerKind.TECHNIQUE, DYNAMIC)
    looker = User.objects.create_user("lena@example.org", "x", is_staff=True)
    desk = Client()
    desk.force_login(looker)
    answer = desk.post(
        reverse("admin:optimization_breaker_changelist"), {"action": "close", "_selected_action": [row.pk]}
    )
    assert answer.status_code == 403
    assert breakers.left_out() == (DYNAMIC,)
