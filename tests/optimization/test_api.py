"""The API does what the pages do, through the same services, for whom it may concern."""

from __future__ import annotations

import pytest
from django.test import Client
from rest_framework.test import APIClient

from apps.accounts.models import Team, User
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.state import Outcome, Status, Verdict
from apps.audit.models import AuditEvent
from apps.models.models import DataSet, ModelVersion
from apps.models.services import move_alias
from apps.models.storage import put_stream
from apps.optimization.models import CriteriaSet, EvaluationReport, OptimizationSession, SessionStep, Worker
from apps.optimization.outcomes import keep_report
from apps.optimization.pipeline import _keep_candidates
from tests.optimization import material

pytestmark = pytest.mark.django_db

SESSIONS = "/api/v1/sessions/"


def client(user: User) -> APIClient:
    api = APIClient()
    api.force_authenticate(user)
    return api


@pytest.fixture
def api(engineer: User) -> APIClient:
    return client(engineer)


@pytest.fixture
def improved(session: OptimizationSession) -> OptimizationSession:
    """A session that ended well: rows as the pipeline leaves them."""
    _keep_candidates(session, (material.CANDIDATE,))
    step = {"session": session, "status": Status.COMPLETED, "candidate_key": "c01"}
    artifact = put_stream([material.onnx_bytes()])
    analysis = material.ANALYSIS.model_dump(mode="json")
    analyse = {"session": session, "status": Status.COMPLETED, "key": "analyse", "kind": "analyse"}
    keep_report(SessionStep.objects.create(**analyse, result=analysis))
    made = {"artifact": artifact, "artifact_filename": "resnet-int8.onnx"}
    result = material.RESULT.model_dump(mode="json")
    SessionStep.objects.create(**step, **made, key="optimize-c01", kind="optimize", result=result)
    result = material.evaluation().model_dump(mode="json")
    keep_report(SessionStep.objects.create(**step, key="evaluate-c01", kind="evaluate", result=result))
    verdict = Verdict(outcome=Outcome.IMPROVED, candidate="c01", reason="c01 is three times as fast.")
    session.begin()
    session.complete(verdict, put_stream([b"PK, a package"]))
    return OptimizationSession.objects.get(pk=session.pk)


# --- sessions --------------------------------------------------------------------------------------------------------


def test_a_session_is_started_and_watched(api: APIClient, version: ModelVersion, dataset: DataSet) -> None:
    profile = CriteriaSet.objects.current().get(team=None, name="fastest")
    question = {
        "version": version.pk,
        "dataset": dataset.pk,
        "criteria_set": profile.pk,
        "overrides": {"budget": {"minutes": 3}},
        "seed": 5,
    }
    answer = api.post(SESSIONS, question)
    assert answer.status_code == 201, answer.json()
    body = api.get(f"{SESSIONS}{answer.json()['id']}/").json()
    assert (body["status"], body["seed"], body["criteria"]["budget"]["minutes"]) == ("queued", 5, 3)
    assert (body["model"], body["criteria_set"], body["has_package"]) == (version.model_id, profile.pk, False)
    assert [one["id"] for one in api.get(SESSIONS, {"status": "queued"}).json()["results"]] == [body["id"]]
    assert api.get(SESSIONS, {"status": "failed"}).json()["count"] == 0
    assert api.get(SESSIONS, {"search": "resnet digits", "version": version.pk}).json()["count"] == 1


def test_wrong_criteria_are_problem_details_by_field(api: APIClient, version: ModelVersion, dataset: DataSet) -> None:
    answer = api.post(SESSIONS, {"version": version.pk, "dataset": dataset.pk, "criteria": {"confidence": 7}})
    body = answer.json()
    assert (answer.status_code, body["code"], body["errors"][0]["field"]) == (422, "criteria.invalid", "confidence")


def test_what_is_asked_must_be_visible(api: APIClient, version: ModelVersion, stranger: User, dataset: DataSet) -> None:
    question = {"version": version.pk, "dataset": dataset.pk, "criteria": {}}
    assert client(stranger).post(SESSIONS, question).status_code == 404
    assert api.post(SESSIONS, {**question, "dataset": 999_999}).status_code == 404
    assert api.post(SESSIONS, {**question, "criteria_set": 999_999}).status_code == 404
    assert api.post(SESSIONS, {"version": version.pk}).status_code == 400


def test_a_preview_shows_techniques_and_plan_and_stores_nothing(
    api: APIClient, version: ModelVersion, dataset: DataSet
) -> None:
    answer = api.post(f"{SESSIONS}preview/", {"version": version.pk, "dataset": dataset.pk, "criteria": {}})
    assert answer.status_code == 200, answer.json()
    assert answer.json()["plan"]["candidates"]
    assert {entry["technique"] for entry in answer.json()["compatibility"]} >= {"onnx-dynamic-int8"}
    assert not OptimizationSession.objects.exists()


def test_steps_candidates_and_log_are_read(api: APIClient, improved: OptimizationSession) -> None:
    improved.log.create(message="first")
    second = improved.log.create(message="second", step_key="analyse")
    path = f"{SESSIONS}{improved.pk}/"
    assert [step["key"] for step in api.get(f"{path}steps/").json()] == ["analyse", "optimize-c01", "evaluate-c01"]
    candidate = api.get(f"{path}candidates/").json()[0]
    assert (candidate["key"], candidate["evaluation"]["speedup"]) == ("c01", 3.0)
    assert candidate["predicted"]["speedup"] == 3.0
    assert api.get(f"{path}log/").json()["count"] == 2
    assert [line["message"] for line in api.get(f"{path}log/", {"after": second.pk - 1}).json()["results"]] == [
        "second"
    ]


def test_report_and_package_are_fetched(api: APIClient, improved: OptimizationSession) -> None:
    path = f"{SESSIONS}{improved.pk}/"
    report = api.get(f"{path}report/").json()
    assert (report["outcome"], report["verdict"]["candidate"]) == ("improved", "c01")
    assert report["candidates"][0]["evaluation"]["latency"]["speedup"]["value"] == 3.0
    package = api.get(f"{path}package/")
    assert b"".join(package.streaming_content) == b"PK, a package"  # type: ignore[attr-defined]
    assert package["ETag"] == f'"{improved.package_id}"'


def test_page_and_api_hand_over_the_same_package(api: APIClient, improved: OptimizationSession, engineer: User) -> None:
    browser = Client()
    browser.force_login(engineer)
    answers = [api.get(f"{SESSIONS}{improved.pk}/package/"), browser.get(f"/sessions/{improved.pk}/package/")]
    for header in ("Content-Disposition", "ETag", "Repr-Digest", "Content-Length"):
        assert answers[0][header] == answers[1][header]


def test_before_the_end_there_is_no_report_and_no_package(api: APIClient, session: OptimizationSession) -> None:
    for part, code in (("report", "session.no_report"), ("package", "session.no_package")):
        answer = api.get(f"{SESSIONS}{session.pk}/{part}/")
        assert (answer.status_code, answer.json()["code"]) == (404, code)


def test_promotion_and_back(api: APIClient, improved: OptimizationSession, engineer: User) -> None:
    model = improved.version.model
    move_alias(model, "production", improved.version, engineer)
    path = f"{SESSIONS}{improved.pk}/"
    promoted = api.post(f"{path}promote/", {})
    assert promoted.status_code == 200, promoted.json()
    assert promoted.json() == {"alias": "production", "version": model.versions.get(number=2).pk, "number": 2}
    assert api.get(path).json()["result_version"] == promoted.json()["version"]
    back = api.post(f"{path}rollback/", {"reason": "worse at night"})
    assert back.json() == {"alias": "production", "version": improved.version_id, "number": 1}
    assert api.post(f"{path}rollback/", {"reason": "again"}).json()["code"] == "session.not_promoted"
    assert api.post(f"{path}rollback/", {}).status_code == 400


def test_cancel_retry_resume(api: APIClient, session: OptimizationSession) -> None:
    path = f"{SESSIONS}{session.pk}/"
    refused = api.post(f"{path}retry/")
    assert (refused.status_code, refused.json()["code"]) == (409, "session.move_refused")
    assert api.post(f"{path}cancel/").json()["cancel_requested_at"]
    OptimizationSession.objects.update(status=Status.CANCELLED)
    assert api.post(f"{path}resume/").json()["status"] == "queued"
    OptimizationSession.objects.update(status=Status.FAILED)
    again = api.post(f"{path}retry/")
    assert (again.status_code, again.json()["retry_of"]) == (201, str(session.pk))


def test_a_viewer_reads_and_does_not_write(session: OptimizationSession, viewer: User, version: ModelVersion) -> None:
    api = client(viewer)
    assert api.get(f"{SESSIONS}{session.pk}/").status_code == 200
    for act in ("cancel", "retry", "resume", "promote"):
        assert api.post(f"{SESSIONS}{session.pk}/{act}/", {}).status_code == 403, act
    assert api.post(f"{SESSIONS}{session.pk}/rollback/", {"reason": "x"}).status_code == 403
    question = {"version": version.pk, "dataset": session.dataset_id, "criteria": {}}
    assert api.post(SESSIONS, question).status_code == 403


def test_a_stranger_finds_nothing(session: OptimizationSession, stranger: User) -> None:
    api = client(stranger)
    assert api.get(SESSIONS).json()["count"] == 0
    for part in ("", "steps/", "candidates/", "log/", "report/", "package/"):
        assert api.get(f"{SESSIONS}{session.pk}/{part}").status_code == 404
    for act in ("cancel", "retry", "resume", "promote", "rollback"):
        assert api.post(f"{SESSIONS}{session.pk}/{act}/", {"reason": "x"}).status_code == 404


# --- criteria --------------------------------------------------------------------------------------------------------


def test_criteria_are_made_changed_and_retired(api: APIClient, team: Team) -> None:
    body = Criteria().model_dump(mode="json")
    made = api.post("/api/v1/criteria/", {"name": "Edge", "body": {"constraints": {"min_speedup": 2}}})
    assert made.status_code == 201, made.json()
    assert (made.json()["team"], made.json()["version"]) == (team.slug, 1)
    assert made.json()["body"]["confidence"] == body["confidence"], "defaults are written out"

    changed = api.patch(f"/api/v1/criteria/{made.json()['id']}/", {"body": {"constraints": {"max_latency_ms": 5}}})
    assert (changed.json()["version"], changed.json()["name"]) == (2, "Edge")
    limits = changed.json()["body"]["constraints"]
    assert (limits["min_speedup"], limits["max_latency_ms"]) == (2, 5)

    stale = api.patch(f"/api/v1/criteria/{made.json()['id']}/", {"name": "Other"})
    assert (stale.status_code, stale.json()["code"]) == (409, "criteria.outdated")
    assert api.delete(f"/api/v1/criteria/{changed.json()['id']}/").status_code == 204
    assert api.get("/api/v1/criteria/", {"current": True, "name": "Edge"}).json()["count"] == 0


def test_profiles_are_listed_and_not_changed(api: APIClient) -> None:
    profiles = api.get("/api/v1/criteria/", {"built_in": True}).json()["results"]
    assert {row["name"] for row in profiles} == {"balanced", "smallest", "fastest", "safest"}
    answer = api.patch(f"/api/v1/criteria/{profiles[0]['id']}/", {"description": "mine"})
    assert (answer.status_code, answer.json()["code"]) == (403, "criteria.built_in")


# --- techniques, workers, audit --------------------------------------------------------------------------------------


def test_techniques_say_which_worker_can_run_them(api: APIClient, worker: Worker) -> None:
    entries = {one["spec"]["name"]: one for one in api.get("/api/v1/techniques/").json()}
    assert entries["onnx-static-int8"]["workers"] == ["shed:1"]
    worker.machine = {**worker.machine, "libraries": {}}
    worker.save()
    entries = {one["spec"]["name"]: one for one in api.get("/api/v1/techniques/").json()}
    assert entries["onnx-static-int8"]["missing"] == ["onnx", "onnxruntime"]


def test_a_workers_step_is_told_to_its_own_team_only(
    api: APIClient, worker: Worker, session: OptimizationSession, stranger: User
) -> None:
    worker.current_step = SessionStep.objects.create(session=session, key="analyse", kind="analyse")
    worker.save()
    (mine,) = api.get("/api/v1/workers/").json()["results"]
    (theirs,) = client(stranger).get("/api/v1/workers/").json()["results"]
    assert mine["current_step"] == {"session": str(session.pk), "key": "analyse"}
    assert (theirs["current_step"], theirs["alive"]) == (None, True)


def test_the_audit_trail_is_read_by_its_team_and_written_by_nobody(
    api: APIClient, session: OptimizationSession, stranger: User
) -> None:
    found = api.get("/api/v1/audit/", {"action": "session", "session": str(session.pk)}).json()["results"]
    assert [event["action"] for event in found] == ["session.started"]
    sequence = found[0]["sequence"]
    assert api.get(f"/api/v1/audit/{sequence}/").json()["digest"] == AuditEvent.objects.get(sequence=sequence).digest
    for method in (api.post, api.put, api.patch, api.delete):
        assert method(f"/api/v1/audit/{sequence}/").status_code == 405
    assert client(stranger).get("/api/v1/audit/", {"session": str(session.pk)}).json()["count"] == 0


def test_the_document_describes_the_criteria(api: APIClient) -> None:
    document = api.get("/api/schema/?format=json").json()
    assert "/api/v1/sessions/{id}/promote/" in document["paths"]
    assert "SessionReport" in document["components"]["schemas"]
    assert "constraints" in document["components"]["schemas"]["Criteria"]["properties"]


def test_nothing_is_left_of_a_deleted_candidates_evaluation(improved: OptimizationSession) -> None:
    assert EvaluationReport.objects.count() == 1
    improved.candidates.all().delete()
    assert not EvaluationReport.objects.exists()
