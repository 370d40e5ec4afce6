"""Operators look at everything, change only configuration, and act on sessions."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.agents.contracts.criteria import Criteria, Objective
from apps.agents.contracts.state import Status
from apps.audit.models import AuditEvent
from apps.optimization.models import (
    Candidate,
    CriteriaSet,
    LogEntry,
    OptimizationSession,
    PipelineSettings,
    SearchTrial,
    SessionStep,
    Worker,
)
from tests.optimization import material

pytestmark = pytest.mark.django_db

BREAKER = {"breaker_failures": 5, "breaker_window_minutes": 60, "breaker_cooldown_minutes": 30}
READ_ONLY = (OptimizationSession, SessionStep, SearchTrial, Candidate, LogEntry, Worker, AuditEvent)


@pytest.fixture
def operator(db: None) -> User:
    """No member of any team."""
    return User.objects.create_superuser("otto@example.org", "correct horse battery")


@pytest.fixture
def desk(operator: User) -> Client:
    browser = Client()
    browser.force_login(operator)
    return browser


@pytest.fixture
def rows(session: OptimizationSession, worker: Worker) -> None:
    """One of each."""
    SessionStep.objects.create(session=session, key="analyse", kind="analyse", error="x", traceback="Traceback")
    session.log.create(message="A layer was found.")
    session.search_trials.create(
        search="search/1",
        step_key="search/1/trials-1/1",
        number=1,
        values=[8],
        loss=1,
        latency_ms=1,
        parameters=1,
        macs=1,
    )
    Candidate.objects.create(
        session=session,
        key="c01",
        **material.chain(("onnx-dynamic-int8", "Dynamic int8")),
        predicted=material.PREDICTION.model_dump(mode="json"),
        reason="Small.",
    )


def address(model: type, page: str, *arguments: Any) -> str:
    return reverse(f"admin:optimization_{model._meta.model_name}_{page}", args=arguments)  # type: ignore[attr-defined]


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("model", READ_ONLY)
def test_rows_of_the_pipeline_are_listed_searched_shown_and_not_changed(desk: Client, model: Any) -> None:
    row = model.objects.first()
    assert desk.get(address(model, "changelist")).status_code == 200
    assert desk.get(address(model, "changelist"), {"q": "analyse"}).status_code == 200
    assert desk.get(address(model, "change", row.pk)).status_code == 200
    assert desk.post(address(model, "change", row.pk), {}).status_code == 403
    assert desk.get(address(model, "add")).status_code == 403
    assert desk.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403


def test_every_model_has_a_page() -> None:
    from django.apps import apps

    shown = {model.__name__ for model in admin.site._registry}
    assert {model.__name__ for model in apps.get_app_config("optimization").get_models()} - shown == {"AuditHead"}


def act(desk: Client, session: OptimizationSession, action: str) -> str:
    chosen = {"action": action, "_selected_action": [str(session.pk)]}
    answer = desk.post(address(OptimizationSession, "changelist"), chosen, follow=True)
    return " ".join(str(message) for message in answer.context["messages"])


def test_operators_cancel_and_retry_sessions_of_any_team(
    desk: Client, session: OptimizationSession, operator: User
) -> None:
    assert "being cancelled" in act(desk, session, "cancel")
    session.refresh_from_db()
    assert session.cancel_requested_at is not None
    assert AuditEvent.objects.get(action="session.cancel_requested").actor == operator.email
    OptimizationSession.objects.update(status=Status.CANCELLED)
    assert "started again" in act(desk, session, "retry")
    assert OptimizationSession.objects.get(retry_of=session).created_by == operator
    assert "resumed" in act(desk, session, "resume")


def test_an_action_that_cannot_be_done_says_why(desk: Client, session: OptimizationSession) -> None:
    assert "is queued, so it cannot be retried" in act(desk, session, "retry")


def test_who_may_only_look_has_no_actions(session: OptimizationSession) -> None:
    from django.contrib.auth.models import Permission

    looker = User.objects.create_user("lena@example.org", "x", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_optimizationsession"))
    browser = Client()
    browser.force_login(looker)
    assert browser.get(address(OptimizationSession, "changelist")).status_code == 200
    act(browser, session, "cancel")
    session.refresh_from_db()
    assert session.cancel_requested_at is None


# --- configuration ---------------------------------------------------------------------------------------------------


def test_editing_a_profile_makes_its_next_version(desk: Client, operator: User) -> None:
    profile = CriteriaSet.objects.current().get(team=None, name="smallest")
    answer = desk.post(
        address(CriteriaSet, "change", profile.pk),
        {"name": "smallest", "description": "Tiny", "body": '{"objective": "size", "confidence": 0.9}'},
    )
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    new = CriteriaSet.objects.current().get(team=None, name="smallest")
    assert (new.version, new.criteria.confidence, new.created_by) == (2, 0.9, operator)
    profile.refresh_from_db()
    assert (profile.current, profile.criteria.confidence) == (False, 0.95)


def test_an_operator_adds_a_profile(desk: Client) -> None:
    body = Criteria(objective=Objective.MEMORY).model_dump_json()
    answer = desk.post(address(CriteriaSet, "add"), {"team": "", "name": "leanest", "description": "", "body": body})
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    assert CriteriaSet.objects.get(name="leanest").team is None


def test_wrong_criteria_name_the_field(desk: Client) -> None:
    profile = CriteriaSet.objects.current().get(team=None, name="smallest")
    answer = desk.post(
        address(CriteriaSet, "change", profile.pk),
        {"name": "smallest", "body": '{"constraints": {"min_speedup": -1}, "forbidden_techniques": 3}'},
    )
    errors = answer.context["adminform"].form.errors["body"]
    assert any(error.startswith("constraints.min_speedup: ") for error in errors)
    assert any(error.startswith("forbidden_techniques: ") for error in errors)


def test_old_versions_of_criteria_are_history(desk: Client) -> None:
    profile = CriteriaSet.objects.current().get(team=None, name="smallest")
    CriteriaSet.objects.filter(pk=profile.pk).update(current=False)
    assert desk.post(address(CriteriaSet, "change", profile.pk), {"name": "x"}).status_code == 403


def test_limits_are_edited_within_reason(desk: Client) -> None:
    row = PipelineSettings.current()
    given = {"step_memory_limit_bytes": 2**30, "max_attempts": 5, "disabled_techniques": ["onnx-float16"], **BREAKER}
    page = address(PipelineSettings, "change", row.pk)
    refused = desk.post(page, {**given, "step_time_limit_minutes": 0})
    assert list(refused.context["adminform"].form.errors) == ["step_time_limit_minutes"]
    assert (
        desk.post(address(PipelineSettings, "change", row.pk), {**given, "step_time_limit_minutes": 9}).status_code
        == 302
    )
    row.refresh_from_db()
    assert (row.step_time_limit_minutes, row.max_attempts, row.disabled_techniques) == (9, 5, ["onnx-float16"])
    changes = AuditEvent.objects.get(action="settings.changed").data
    assert (changes["max_attempts"], changes["disabled_techniques"]) == ([3, 5], [[], ["onnx-float16"]])
    assert "step_memory_limit_bytes" in changes
    assert "paused_queues" not in changes, "it was not changed"


@pytest.mark.parametrize("names", [["magic"], "onnx-float16", [1]])
def test_limits_refuse_techniques_that_do_not_exist(names: Any) -> None:
    from django.core.exceptions import ValidationError

    with pytest.raises(ValidationError) as error:
        PipelineSettings(disabled_techniques=names).full_clean()
    assert "disabled_techniques" in error.value.message_dict
