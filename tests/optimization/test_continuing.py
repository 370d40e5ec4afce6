"""A finished session is continued with other criteria: nothing is made or measured twice, and verdicts are new."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.plan_edits import NamedLink, PlanEdits
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.state import Outcome, Status, StepKind
from apps.audit.models import AuditEvent
from apps.errors import UserError
from apps.models import clock
from apps.models.models import DataSet
from apps.optimization import services
from apps.optimization.models import OptimizationSession, Worker
from tests.optimization import crank
from tests.optimization.conftest import make_dataset

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("stored", "small_handlers", "impatient", "worker"),
]

Start = Callable[..., OptimizationSession]
MEASURED = {"analyse", "c01/optimize", "c01/evaluate"}
DYNAMIC = "onnx-dynamic-int8"
FORBIDDEN = {"allowed_techniques": [DYNAMIC], "forbidden_techniques": [DYNAMIC]}
PERMIT = f"technique_forbidden/{DYNAMIC}/permit"
MORE = {"budget": {"minutes": 60, "candidates": 20}}


def at_rest(session: OptimizationSession) -> OptimizationSession:
    Worker.objects.update(seen_at=clock.now())
    crank.turn_until_quiet()
    session.refresh_from_db()
    assert session.status == Status.COMPLETED, session.error
    return session


@pytest.fixture
def finished(session: OptimizationSession) -> OptimizationSession:
    return at_rest(session)


def carried_out(session: OptimizationSession) -> set[str]:
    return set(session.steps.filter(attempt__gt=0).values_list("key", flat=True))


def taken(session: OptimizationSession) -> set[str]:
    return set(session.steps.exclude(taken_from={}).values_list("key", flat=True))


def continued(session: OptimizationSession, user: User, **changes: Any) -> OptimizationSession:
    Worker.objects.update(seen_at=clock.now())
    return at_rest(services.session_continue(session, user, overrides={**MORE, **changes}))


# --- what is not done again -------------------------------------------------------------------------------------------


def test_nothing_is_made_or_measured_again(finished: OptimizationSession, engineer: User) -> None:
    again = continued(finished, engineer)
    assert taken(again) >= MEASURED
    assert carried_out(again) == {"plan", "c01/judge", "package"}
    assert (again.outcome, again.continues) == (Outcome.IMPROVED, finished)
    made = [one.steps.get(key="c01/optimize").artifact for one in (finished, again)]
    assert made[0] == made[1] is not None
    assert services.promote(again, engineer).version.blob == made[0]


def test_verdicts_are_derived_from_the_measurements_under_the_new_limits(
    finished: OptimizationSession, engineer: User
) -> None:
    again = continued(finished, engineer, constraints={"min_speedup": 10.0})
    assert again.steps.get(key="c01/evaluate").attempt == 0
    report = EvaluationReport.model_validate(again.steps.get(key="c01/evaluate").result)
    assert {one.constraint: one.status for one in report.constraints}["min_speedup"] == "violated"
    assert again.outcome == Outcome.UNCHANGED
    finished.refresh_from_db()
    assert finished.outcome == Outcome.IMPROVED, "the continued session stays as it was"


def test_the_report_the_audit_trail_and_the_pages_say_what_was_taken_over(
    finished: OptimizationSession, engineer: User, client: Client
) -> None:
    again = continued(finished, engineer)
    report = services.report(again)
    assert report.continues == finished.pk
    assert {(one.step, one.source.session, one.source.continued) for one in report.taken_over} == {
        (key, str(finished.pk), True) for key in taken(again)
    }
    told = AuditEvent.objects.filter(session_id=again.pk, action="step.taken_over")
    assert {event.subject for event in told} == taken(again)
    assert AuditEvent.objects.filter(session_id=finished.pk, action="session.continued", subject=str(again.pk)).exists()
    client.force_login(engineer)
    assert "the session that this one continues" in client.get(again.get_absolute_url()).content.decode()
    assert 'id="report-taken-over"' in client.get(reverse("optimization:report", args=[again.pk])).content.decode()
    steps = client.get(f"/api/v1/sessions/{again.pk}/steps/").json()
    assert {one["key"] for one in steps if one["taken_from"]} == taken(again)


def test_the_work_and_the_judgements_of_all_continued_sessions_count(
    finished: OptimizationSession, engineer: User
) -> None:
    again = continued(finished, engineer)
    assert again.earlier is not None
    assert (again.earlier["judged"], again.earlier["worked_s"]) == (1, pytest.approx(finished.worked_s))
    told = again.steps.get(key="c01/judge").parameters
    assert (told["judged_before"], told["confidence"]) == (1, pytest.approx(0.975))
    assert again.steps.get(key="c01/optimize").taken_from["duration_s"] > 0

    third = continued(again, engineer, budget={"minutes": 0.0001, "candidates": 1})
    assert third.steps.get(key="c01/judge").parameters["judged_before"] == 2
    assert third.sessions_before == 2
    assert taken(third) >= MEASURED, "although no budget is left"
    assert third.steps.get(key="c01/optimize").taken_from["session"] == str(again.pk)


# --- what is done again -----------------------------------------------------------------------------------------------


def test_measurements_for_another_question_or_machine_are_made_again(
    finished: OptimizationSession, engineer: User
) -> None:
    held = lambda criteria: services.earlier_of(finished, criteria)  # noqa: E731
    usual = finished.criteria
    assert [one.key for one in held(usual).measured] == ["c01"]
    assert held(usual.model_copy(update={"confidence": 0.9})).measured == (), "other intervals"
    worker = Worker.objects.get()
    machine = worker.machine
    worker.machine = {**machine, "cpu": "Another CPU"}
    worker.save()
    assert (held(usual).measured, bool(held(usual).made)) == ((), True)
    worker.machine = {**machine, "libraries": {**machine["libraries"], "onnxruntime": "1.33.0"}}
    worker.save()
    assert (held(usual).measured, held(usual).made) == ((), ())
    assert taken(continued(finished, engineer)) == set()


@pytest.mark.parametrize("way", ["retention", "collected", "lost"])
def test_an_artifact_that_is_gone_is_made_again_where_it_is_read(
    finished: OptimizationSession, engineer: User, way: str
) -> None:
    made = finished.steps.get(key="c01/optimize")
    assert made.artifact is not None
    if way == "lost":
        Path(default_storage.path(made.artifact.storage_name)).unlink()
    else:
        finished.steps.filter(pk=made.pk).update(
            artifact=None, collected_at=clock.now() if way == "collected" else None
        )
    again = continued(finished, engineer)
    assert {"c01/optimize", "c01/judge"} <= carried_out(again)
    assert "c01/evaluate" in taken(again), "what was measured still holds"
    assert again.steps.get(key="c01/optimize").artifact == made.artifact


def test_a_session_goes_on_when_the_one_it_continues_is_deleted(finished: OptimizationSession, engineer: User) -> None:
    again = services.session_continue(finished, engineer, overrides=MORE)
    services.session_delete(finished, engineer)
    again.refresh_from_db()
    assert at_rest(again).outcome == Outcome.IMPROVED
    assert (again.continues, taken(again)) == (None, set())


@pytest.fixture
def ended(session: OptimizationSession) -> OptimizationSession:
    """A session that has ended after its analysis, without a step that ran."""
    session.steps.create(key="analyse", kind=StepKind.ANALYSE, status=Status.COMPLETED, identity="a" * 64)
    OptimizationSession.objects.update(status=Status.CANCELLED, finished_at=clock.now())
    session.refresh_from_db()
    return session


# --- what is refused --------------------------------------------------------------------------------------------------


def refused(code: str, session: OptimizationSession, user: User, **changes: Any) -> UserError:
    before = OptimizationSession.objects.count()
    with pytest.raises(UserError) as caught:
        services.session_continue(session, user, **changes)
    assert caught.value.code == code
    assert OptimizationSession.objects.count() == before
    return caught.value


def test_a_session_that_runs_is_refused(session: OptimizationSession, engineer: User) -> None:
    refused("session.move_refused", session, engineer, overrides=MORE)


def test_another_data_set_or_model_is_refused(ended: OptimizationSession, engineer: User, dataset: DataSet) -> None:
    other = make_dataset(ended.team, engineer, "letters")
    error = refused("session.continued_otherwise", ended, engineer, dataset=other.pk, overrides=MORE)
    assert (error.field, str(other.pk) in error.message) == ("dataset", True)
    error = refused("session.continued_otherwise", ended, engineer, version=10_000, overrides=MORE)
    assert error.field == "version"


def test_another_target_and_the_same_criteria_are_refused(ended: OptimizationSession, engineer: User) -> None:
    elsewhere = ended.criteria.model_copy(update={"target": Target(threads=2)})
    refused("session.continued_elsewhere", ended, engineer, criteria=elsewhere)
    refused("session.continued_unchanged", ended, engineer)


def test_an_old_session_is_refused_with_a_sentence(ended: OptimizationSession, engineer: User) -> None:
    ended.steps.update(identity="")
    error = refused("session.too_old_to_continue", ended, engineer, overrides=MORE)
    assert "before Lathe recorded" in error.message


def test_a_session_without_an_analysis_is_refused(ended: OptimizationSession, engineer: User) -> None:
    ended.steps.all().delete()
    refused("session.nothing_to_continue", ended, engineer, overrides=MORE)


def test_a_viewer_is_refused_and_a_stranger_sees_nothing(
    ended: OptimizationSession, viewer: User, stranger: User, client: Client
) -> None:
    with pytest.raises(PermissionDenied):
        services.session_continue(ended, viewer, overrides=MORE)
    page = reverse("optimization:session-continue", args=[ended.pk])
    for user, status in ((viewer, 403), (stranger, 404)):
        client.force_login(user)
        assert client.get(page).status_code == status
        answer = client.post(f"/api/v1/sessions/{ended.pk}/continue/", {"overrides": MORE}, "application/json")
        assert answer.status_code == status


# --- the doors --------------------------------------------------------------------------------------------------------


def test_the_api_continues_a_session(ended: OptimizationSession, engineer: User, client: Client) -> None:
    client.force_login(engineer)
    url = f"/api/v1/sessions/{ended.pk}/continue/"
    answer = client.post(url, {"overrides": MORE}, "application/json")
    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert (body["continues"], body["earlier"]["judged"], body["seed"]) == (str(ended.pk), 0, ended.seed)
    answer = client.post(url, {"overrides": MORE, "dataset": 9_999}, "application/json")
    assert (answer.status_code, answer.json()["code"]) == (409, "session.continued_otherwise")


def test_the_edits_of_the_plan_stay(ended: OptimizationSession, engineer: User) -> None:
    edits = PlanEdits(removed=((NamedLink(technique="onnx-float16"),),))
    OptimizationSession.objects.filter(pk=ended.pk).update(edits_body=edits.model_dump(mode="json"))
    assert services.session_continue(ended, engineer, overrides=MORE).edits == edits


def test_a_session_that_makes_everything_anew_is_continued_like_that(
    ended: OptimizationSession, engineer: User, client: Client
) -> None:
    OptimizationSession.objects.filter(pk=ended.pk).update(make_anew=True)
    assert services.session_continue(ended, engineer, overrides=MORE).make_anew
    client.force_login(engineer)
    form = client.get(reverse("optimization:session-new"), {"again": ended.pk}).context["form"]
    assert form["make_anew"].value() is True, "again with…"


def test_the_api_applies_a_resolution(ended: OptimizationSession, engineer: User, client: Client) -> None:
    client.force_login(engineer)
    url = f"/api/v1/sessions/{ended.pk}/continue/"
    refused = client.post(url, {"overrides": FORBIDDEN}, "application/json")
    assert (refused.status_code, refused.json()["code"]) == (409, "session.contradictory")
    assert PERMIT in {each["id"] for one in refused.json()["conflicts"] for each in one["resolutions"]}
    made = client.post(url, {"overrides": FORBIDDEN, "resolutions": [PERMIT]}, "application/json")
    assert made.status_code == 201, made.content
    assert made.json()["criteria"]["forbidden_techniques"] == []
    started = AuditEvent.objects.get(session_id=made.json()["id"], action="session.started")
    assert started.data["resolutions"] == [PERMIT]


def test_a_resolution_that_leads_back_to_the_session_or_to_another_target_is_refused(
    ended: OptimizationSession, engineer: User
) -> None:
    without = ended.criteria.model_copy(update={"forbidden_techniques": (DYNAMIC,)})
    OptimizationSession.objects.filter(pk=ended.pk).update(criteria_body=without.model_dump(mode="json"))
    both = {"required_techniques": [DYNAMIC]}
    back = f"technique_forbidden/{DYNAMIC}/forbid"
    refused("session.continued_unchanged", ended, engineer, overrides=both, resolutions=[back])
    refused("criteria.unknown_resolution", ended, engineer, overrides=both, resolutions=["nonsense"])
    gpu = {"required_techniques": ["tensorflow-half"]}
    elsewhere = "technique_for_another_device/tensorflow-half/target"
    refused("session.continued_elsewhere", ended, engineer, overrides=gpu, resolutions=[elsewhere])


def test_the_page_offers_resolutions(ended: OptimizationSession, engineer: User, client: Client) -> None:
    client.force_login(engineer)
    page = reverse("optimization:session-continue", args=[ended.pk])
    form = client.get(page).context["form"]
    answers = {name: value for name, value in form.initial.items() if name in form.fields and value is not None}
    shown = client.post(page, {**answers, **FORBIDDEN})
    assert shown.status_code == 422
    assert f'name="resolution" value="{PERMIT}"' in shown.content.decode()
    assert 'hx-select="#session-continue-form"' in shown.content.decode()
    resolved = client.post(page, {**answers, **FORBIDDEN, "resolution": PERMIT})
    assert resolved.status_code == 200
    assert "Applied, but not started yet:" in resolved.content.decode()
    assert list(resolved.context["form"]["forbidden_techniques"].value()) == []
    assert not OptimizationSession.objects.filter(continues=ended).exists()
    stale = client.post(page, {**answers, **FORBIDDEN, "resolution": "nonsense"})
    assert "Contradiction." in stale.content.decode(), "a button of an earlier page is ignored"
    moved = client.post(page, {**answers, "required_techniques": ["tensorflow-half"]})
    ways = [each.id for one in moved.context["check"].conflicts for each in one.resolutions]
    assert "technique_for_another_device/tensorflow-half/do-without" in ways
    assert not any(name.endswith("/target") for name in ways), "the target stays"


def test_the_page_continues_a_session(ended: OptimizationSession, engineer: User, client: Client) -> None:
    client.force_login(engineer)
    page = reverse("optimization:session-continue", args=[ended.pk])
    assert page in client.get(ended.get_absolute_url()).content.decode()
    form = client.get(page).context["form"]
    answers = {name: value for name, value in form.initial.items() if name in form.fields and value is not None}
    answer = client.post(page, answers)
    assert (answer.status_code, "would be decided differently" in answer.content.decode()) == (422, True)
    answer = client.post(page, {**answers, "minutes": 90, "candidates": 30})
    made = OptimizationSession.objects.get(continues=ended)
    assert (answer.status_code, answer.url) == (302, made.get_absolute_url())
    assert (made.criteria.budget.minutes, made.criteria.target) == (90, ended.criteria.target)
