"""Contradictions stop criteria and sessions at every door; one click or one request resolves them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from apps.accounts.models import Team, User
from apps.agents.contracts.criteria import Constraints, Criteria, Objective
from apps.agents.contracts.state import Status, Verdict
from apps.audit.models import AuditEvent
from apps.models import clock
from apps.models.models import DataSet, ModelVersion
from apps.optimization import breakers
from apps.optimization import criteria as services
from apps.optimization.errors.criteria import CriteriaContradictory
from apps.optimization.errors.resources import TechniqueDisabled, TechniquePaused, TechniqueUnavailable
from apps.optimization.errors.starting import SessionContradictory
from apps.optimization.forms.criteria import CriteriaForm
from apps.optimization.models import (
    Breaker,
    BreakerKind,
    CriteriaSet,
    OptimizationSession,
    PipelineSettings,
    SessionStep,
    Worker,
)
from apps.optimization.outcomes import keep_report
from apps.optimization.pipeline import _keep_candidates
from apps.optimization.services import checked, report, session_retry
from tests.optimization import material

pytestmark = pytest.mark.django_db

STATIC, DYNAMIC, FLOAT16, GPTQ = "onnx-static-int8", "onnx-dynamic-int8", "onnx-float16", "torch-gptq"
BOTH = {"allowed_techniques": [STATIC], "forbidden_techniques": [STATIC]}
PERMIT = f"technique_forbidden/{STATIC}/permit"
TOO_SMALL = {"objective": "size", "allowed_techniques": [STATIC], "constraints": {"min_size_reduction": 8}}
NEAREST = "size_out_of_reach/nearest"
CRITERIA, SESSIONS = "/api/v1/criteria/", "/api/v1/sessions/"


@pytest.fixture
def api(engineer: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(engineer)
    return client


@pytest.fixture
def page(client: Client, engineer: User) -> Client:
    client.force_login(engineer)
    return client


@pytest.fixture
def hopeful(team: Team, engineer: User) -> CriteriaSet:
    """They contradict only what is known of the model."""
    return services.create(user=engineer, team=team, name="Hopeful", criteria=TOO_SMALL)


@pytest.fixture
def old(team: Team, engineer: User) -> CriteriaSet:
    """Criteria from before contradictions were refused, without the fields that are new."""
    body = Criteria.model_validate(BOTH).model_dump(mode="json")
    del body["required_techniques"]
    return CriteriaSet.objects.create(team=team, name="Old", body=body, created_by=engineer)


@pytest.fixture
def question(version: ModelVersion, dataset: DataSet) -> dict[str, int]:
    return {"version": version.pk, "dataset": dataset.pk}


def answers(**changes: Any) -> dict[str, Any]:
    """A filled criteria form."""
    initial = CriteriaForm.answers_of(Criteria())
    return {"name": "Mine", **{name: value for name, value in initial.items() if value not in (None, ())}, **changes}


# --- saving ----------------------------------------------------------------------------------------------------------


def test_criteria_that_contradict_themselves_are_not_saved(team: Team, engineer: User) -> None:
    with pytest.raises(CriteriaContradictory, match="is allowed, but also forbidden") as refused:
        services.create(user=engineer, team=team, name="Mine", criteria=BOTH)
    assert refused.value.field == "allowed_techniques"
    assert not CriteriaSet.objects.filter(team=team).exists()


def test_warnings_do_not_stop(team: Team, engineer: User) -> None:
    limits = Constraints(max_metric_drop_relative=0.01)
    assert services.create(user=engineer, team=team, name="Mine", criteria=Criteria(constraints=limits)).current


def test_a_program_is_told_the_conflicts_and_their_resolutions(api: APIClient) -> None:
    answer = api.post(CRITERIA, {"name": "Mine", "body": BOTH}, format="json")
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "criteria.contradictory")
    assert {one["field"] for one in problem["errors"]} == {"allowed_techniques", "forbidden_techniques"}
    (conflict,) = problem["conflicts"]
    assert (conflict["code"], conflict["severity"]) == ("technique_forbidden", "contradiction")
    assert conflict["resolutions"][0] == {
        "id": PERMIT,
        "title": "Permit Static int8 (QDQ)",
        "patch": {"forbidden_techniques": []},
    }
    body = {**BOTH, **conflict["resolutions"][0]["patch"]}
    assert api.post(CRITERIA, {"name": "Mine", "body": body}, format="json").status_code == 201


def test_the_form_shows_conflicts_and_a_button_changes_the_answers(page: Client, team: Team) -> None:
    address = reverse("optimization:criteria-new")
    given = answers(allowed_techniques=[STATIC], forbidden_techniques=[STATIC])
    refused = page.post(address, given)
    shown = refused.content.decode()
    assert refused.status_code == 422
    assert "criteria.contradictory" in shown
    assert f'name="resolution" value="{PERMIT}"' in shown
    resolved = page.post(address, {**given, "resolution": PERMIT})
    form, check = resolved.context["form"], resolved.context["check"]
    assert resolved.status_code == 200
    assert (list(form["forbidden_techniques"].value()), list(form["allowed_techniques"].value())) == ([], [STATIC])
    assert form["name"].value() == "Mine"
    assert not check.conflicts
    assert not CriteriaSet.objects.filter(team=team).exists(), "nothing is saved before Save"
    assert page.post(address, answers(allowed_techniques=[STATIC])).status_code == 302


def test_the_form_checks_while_it_is_filled_in(page: Client) -> None:
    address = reverse("optimization:criteria-new")
    given = {**answers(max_metric_drop_relative=0.01), "check": "1"}
    shown = page.post(address, given, headers={"HX-Request": "true"}).content.decode()
    assert "both_losses_limited" in shown
    assert "<html" not in shown
    fine = page.post(address, {**answers(), "check": "1"}, headers={"HX-Request": "true"}).content.decode()
    assert "No conflicts." in fine
    unnamed = page.post(address, {**given, "name": ""}, headers={"HX-Request": "true"}).content.decode()
    assert "both_losses_limited" in unnamed, "criteria can be judged before they have a name"
    broken = page.post(address, {**answers(threads=0), "check": "1"}, headers={"HX-Request": "true"})
    assert broken.status_code == 200, "HTMX swaps nothing else"


def test_a_changed_answer_applies_no_resolution(page: Client) -> None:
    """HTMX sends the button that was clicked last with it, but fetches only the conflicts."""
    given = answers(allowed_techniques=[STATIC], forbidden_techniques=[STATIC], check="1", resolution=PERMIT)
    address, headers = reverse("optimization:criteria-new"), {"HX-Request": "true", "HX-Trigger": "criteria-form"}
    assert not page.post(address, given, headers=headers).context["check"].applied
    assert page.post(address, given, headers={"HX-Request": "true"}).context["check"].applied


def test_required_techniques_are_a_field_of_the_form(page: Client, team: Team) -> None:
    page.post(reverse("optimization:criteria-new"), answers(required_techniques=[FLOAT16, STATIC]))
    row = CriteriaSet.objects.get(team=team)
    assert set(row.criteria.required_techniques) == {FLOAT16, STATIC}
    assert FLOAT16 in page.get(row.get_absolute_url()).content.decode()


def test_the_admin_refuses_them_too(client: Client, engineer: User) -> None:
    engineer.is_staff = engineer.is_superuser = True
    engineer.save()
    client.force_login(engineer)
    given = {
        "name": "Mine",
        "body": json.dumps(BOTH),
    }
    answer = client.post(reverse("admin:optimization_criteriaset_add"), given)
    assert answer.status_code == 200
    assert "technique_forbidden" in answer.content.decode()
    assert not CriteriaSet.objects.filter(name="Mine").exists()


def test_old_contradictory_criteria_are_read_and_resolved(page: Client, api: APIClient, old: CriteriaSet) -> None:
    assert old.criteria.required_techniques == ()
    assert page.get(old.get_absolute_url()).status_code == 200
    edit = page.get(reverse("optimization:criteria-edit", args=[old.pk])).content.decode()
    assert "technique_forbidden" in edit
    answer = api.post(f"{CRITERIA}{old.pk}/resolve/", {"resolutions": [PERMIT]}, format="json")
    assert answer.status_code == 200, answer.json()
    changed = CriteriaSet.objects.get(pk=answer.json()["id"])
    assert (changed.version, changed.criteria.forbidden_techniques) == (old.version + 1, ())
    event = AuditEvent.objects.get(action="criteria.edited")
    assert event.reason == "Permit Static int8 (QDQ)."
    assert event.data["before"]["forbidden_techniques"] == [STATIC]


# --- checking --------------------------------------------------------------------------------------------------------


def test_the_check_knows_model_and_data_if_they_are_named(api: APIClient, question: dict[str, int]) -> None:
    alone = api.post(f"{CRITERIA}check/", {"criteria": TOO_SMALL}, format="json").json()
    assert (alone["contradictory"], alone["conflicts"]) == (False, [])
    known = api.post(f"{CRITERIA}check/", {"criteria": TOO_SMALL, **question}, format="json").json()
    assert known["contradictory"]
    assert known["conflicts"][0]["code"] == "size_out_of_reach"
    with_it = {"criteria": TOO_SMALL, **question, "resolutions": [NEAREST]}
    resolved = api.post(f"{CRITERIA}check/", with_it, format="json").json()
    assert (resolved["contradictory"], [one["id"] for one in resolved["applied"]]) == (False, [NEAREST])
    assert 3 < resolved["criteria"]["constraints"]["min_size_reduction"] < 4


def test_the_check_knows_what_workers_have_and_operators_switched_off(api: APIClient, worker: Worker) -> None:
    PipelineSettings.objects.update_or_create(pk=1, defaults={"disabled_techniques": [DYNAMIC]})
    body = {"required_techniques": [GPTQ, DYNAMIC]}
    found = api.post(f"{CRITERIA}check/", {"criteria": body}, format="json").json()["conflicts"]
    assert {(one["code"], one["subject"]) for one in found} == {
        ("technique_unavailable", GPTQ),
        ("technique_disabled", DYNAMIC),
    }


def paused(technique: str) -> None:
    opened = clock.now()
    failed = breakers.Failed(of="1", at=opened, how="crashed", session="")
    row = Breaker(kind=BreakerKind.TECHNIQUE, name=technique, failures=[failed.model_dump(mode="json")])
    row.pause(opened, timedelta(minutes=30))
    row.save()


def test_a_paused_technique_is_not_said_to_be_switched_off(api: APIClient, question: dict[str, int]) -> None:
    paused(DYNAMIC)
    body = {"required_techniques": [DYNAMIC]}
    (found,) = api.post(f"{CRITERIA}check/", {"criteria": body}, format="json").json()["conflicts"]
    assert (found["code"], found["severity"]) == ("technique_paused", "contradiction")
    assert "It is tried again after" in found["message"]
    known = api.post(f"{CRITERIA}check/", {"criteria": {}, **question}, format="json").json()["conflicts"]
    assert "technique_paused" not in [one["code"] for one in known], "nobody asked for it by name"


@pytest.mark.parametrize("field", ["allowed_techniques", "required_techniques"])
def test_a_named_technique_that_is_not_there_is_refused_at_the_start(
    start: Callable[..., OptimizationSession], worker: Worker, field: str
) -> None:
    with pytest.raises(TechniqueUnavailable) as unavailable:
        start(criteria={field: [GPTQ]})
    assert unavailable.value.field == field
    PipelineSettings.objects.update_or_create(pk=1, defaults={"disabled_techniques": [STATIC]})
    with pytest.raises(TechniqueDisabled) as disabled:
        start(criteria={field: [STATIC]})
    assert disabled.value.field == field
    paused(DYNAMIC)
    with pytest.raises(TechniquePaused, match="remove it from the criteria") as refused:
        start(criteria={field: [DYNAMIC]})
    assert refused.value.field == field


def test_a_resolution_that_nothing_proposes_is_refused_with_the_choices(api: APIClient) -> None:
    answer = api.post(f"{CRITERIA}check/", {"criteria": BOTH, "resolutions": ["nonsense"]}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (422, "criteria.unknown_resolution")
    assert PERMIT in answer.json()["detail"]


def test_the_order_of_resolutions_does_not_matter() -> None:
    criteria = Criteria(required_techniques=(STATIC,), allowed_techniques=(DYNAMIC,), forbidden_techniques=(STATIC,))
    chosen = [f"technique_not_allowed/{STATIC}/allow", PERMIT]
    one, other = checked(criteria, resolutions=chosen), checked(criteria, resolutions=chosen[::-1])
    assert one == other
    assert one.criteria == Criteria(required_techniques=(STATIC,), allowed_techniques=(DYNAMIC, STATIC))


def test_strangers_and_viewers(
    question: dict[str, int], old: CriteriaSet, viewer: User, stranger: User, hopeful: CriteriaSet
) -> None:
    client = APIClient()
    client.force_authenticate(stranger)
    assert client.post(f"{CRITERIA}check/", {"criteria": {}, **question}, format="json").status_code == 404
    assert client.post(f"{CRITERIA}check/", {"criteria_set": old.pk}, format="json").status_code == 404
    assert client.post(f"{CRITERIA}{old.pk}/resolve/", {"resolutions": [PERMIT]}, format="json").status_code == 404
    client.force_authenticate(viewer)
    assert client.post(f"{CRITERIA}check/", {"criteria_set": old.pk, **question}, format="json").status_code == 200
    assert client.post(f"{CRITERIA}{old.pk}/resolve/", {"resolutions": [PERMIT]}, format="json").status_code == 403


# --- starting --------------------------------------------------------------------------------------------------------


def test_a_session_with_a_contradiction_is_refused(
    start: Callable[..., OptimizationSession], engineer: User, session: OptimizationSession
) -> None:
    with pytest.raises(SessionContradictory, match="with the permitted number types the file cannot become"):
        start(criteria=TOO_SMALL)
    OptimizationSession.objects.update(
        status=Status.FAILED, criteria_body=Criteria.model_validate(BOTH).model_dump(mode="json")
    )
    with pytest.raises(SessionContradictory, match="also forbidden"):
        session_retry(OptimizationSession.objects.get(), engineer)


def test_a_program_starts_with_a_resolution_by_id_or_by_patch(api: APIClient, question: dict[str, int]) -> None:
    refused = api.post(SESSIONS, {**question, "criteria": TOO_SMALL}, format="json")
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (409, "session.contradictory")
    conflict = problem["conflicts"][0]
    resolution = conflict["resolutions"][0]
    assert (conflict["code"], resolution["id"]) == ("size_out_of_reach", NEAREST)
    by_id = api.post(SESSIONS, {**question, "criteria": TOO_SMALL, "resolutions": [NEAREST]}, format="json")
    by_patch = api.post(SESSIONS, {**question, "criteria": TOO_SMALL, "overrides": resolution["patch"]}, format="json")
    assert (by_id.status_code, by_patch.status_code) == (201, 201)
    assert by_id.json()["criteria"] == by_patch.json()["criteria"]
    events = AuditEvent.objects.filter(action="session.started").order_by("sequence")
    assert events[0].data["resolutions"] == [NEAREST]
    assert "Changed for this session: Demand 3.9" in events[0].reason
    assert "resolutions" not in events[1].data


def test_the_preview_shows_conflicts_without_refusing(api: APIClient, question: dict[str, int]) -> None:
    body = {**question, "criteria": TOO_SMALL}
    shown = api.post(f"{SESSIONS}preview/", body, format="json").json()
    assert (shown["contradictory"], shown["plan"]["candidates"]) == (True, [])
    resolved = api.post(f"{SESSIONS}preview/", {**body, "resolutions": [NEAREST]}, format="json").json()
    assert not resolved["contradictory"]
    assert resolved["plan"]["candidates"]


def test_the_page_applies_a_resolution_for_one_session(
    page: Client, question: dict[str, int], hopeful: CriteriaSet, team: Team
) -> None:
    asked = {**question, "criteria_set": hopeful.pk}
    address = reverse("optimization:session-preview")
    shown = page.get(address, asked).content.decode()
    assert "Contradiction." in shown
    assert f'name="resolution" value="{NEAREST}"' in shown
    applied = page.get(address, {**asked, "resolution": NEAREST}).content.decode()
    assert "Applied for this session:" in applied
    assert f'<input type="hidden" name="resolution" value="{NEAREST}" form="session-question">' in applied
    assert "Contradiction." not in applied
    stale = page.get(address, {**asked, "resolution": "nonsense"}).content.decode()
    assert "Contradiction." in stale, "a button of an earlier preview is ignored"
    refused = page.post(reverse("optimization:session-new"), asked)
    assert refused.status_code == 422
    assert "session.contradictory" in refused.content.decode()
    page.post(reverse("optimization:session-new"), {**asked, "resolution": NEAREST})
    session = OptimizationSession.objects.get()
    assert session.criteria.constraints.min_size_reduction == pytest.approx(3.9, abs=0.1)
    assert CriteriaSet.objects.get(team=team) == hopeful, "the saved criteria stay as they are"


def test_the_page_offers_resolutions_where_a_technique_is_switched_off(
    page: Client, question: dict[str, int], team: Team, engineer: User
) -> None:
    row = services.create(user=engineer, team=team, name="Mine", criteria={"allowed_techniques": [STATIC, DYNAMIC]})
    PipelineSettings.objects.update_or_create(pk=1, defaults={"disabled_techniques": [DYNAMIC]})
    asked = {**question, "criteria_set": row.pk}
    address = reverse("optimization:session-preview")
    shown = page.get(address, asked).content.decode()
    assert "session.technique_disabled" in shown
    name = f"technique_disabled/{DYNAMIC}/do-without"
    assert f'value="{name}"' in shown
    assert "session.technique_disabled" not in page.get(address, {**asked, "resolution": name}).content.decode()


def test_the_latency_of_an_earlier_session_is_known(session: OptimizationSession, version: ModelVersion) -> None:
    analysis = material.ANALYSIS.model_dump(mode="json")
    made = {"session": session, "status": Status.COMPLETED, "key": "analyse", "kind": "analyse", "result": analysis}
    keep_report(SessionStep.objects.create(**made))
    limits = Constraints(max_latency_ms=0.9, min_speedup=2.0)
    found = checked(Criteria(constraints=limits), version).conflicts
    assert [one.code for one in found] == ["speed_limit_moot"]
    assert "1 ms" in found[0].message
    elsewhere = Criteria(constraints=limits, target={"threads": 2})
    assert checked(elsewhere, version).conflicts == ()


# --- the report ------------------------------------------------------------------------------------------------------


def test_the_report_says_what_became_of_required_techniques(page: Client, session: OptimizationSession) -> None:
    required = Criteria(required_techniques=(material.CANDIDATE.technique, GPTQ), objective=Objective.SIZE)
    session.criteria_body = required.model_dump(mode="json")
    session.save()
    _keep_candidates(session, (material.CANDIDATE,))
    step = {"session": session, "status": Status.COMPLETED, "candidate_key": "c01"}
    result = material.evaluation().model_dump(mode="json")
    keep_report(SessionStep.objects.create(**step, key="evaluate-c01", kind="evaluate", result=result))
    session.begin()
    session.complete(Verdict(outcome="unchanged", reason="Nothing is better."), None)
    session = OptimizationSession.objects.get(pk=session.pk)
    first, second = report(session).required
    assert (first.measured, first.candidates, second.measured) == (True, ("c01",), False)
    assert second.sentence.startswith("Not measured.")
    shown = page.get(reverse("optimization:report", args=[session.pk])).content.decode()
    assert "Required techniques" in shown
    assert first.sentence in shown
