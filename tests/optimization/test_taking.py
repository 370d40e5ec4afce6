"""A member takes another candidate: what runs, what is refused, what stays readable, and what two clicks do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import unescape
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import pytest
from django.test import Client, TestCase

from apps.accounts.models import Membership, Role, User
from apps.agents.contracts.criteria import Constraints, Criteria, Objective
from apps.agents.contracts.state import CandidateStatus, Status
from apps.audit.models import AuditEvent
from apps.models.storage import open_blob
from apps.optimization import jobs, services
from apps.optimization.errors.lifecycle import SessionMoveRefused
from apps.optimization.errors.results import CandidateNotTakable, CandidateUnknown
from apps.optimization.lineage import makers
from apps.optimization.models import OptimizationSession, PipelineSettings, SessionStep
from tests.optimization import crank, handlers
from tests.optimization.standing import Standing, standing

pytestmark = pytest.mark.django_db

CRITERIA = Criteria(objective=Objective.LATENCY, constraints=Constraints(max_metric_drop_points=1.0))
CHOSEN, OTHER = "c01", "c02"


@pytest.fixture(scope="module")
def made(django_db_setup: None, django_db_blocker: Any) -> Iterator[Standing]:
    with standing(django_db_blocker.unblock) as found:
        yield found


@pytest.fixture(scope="module")
def ended(made: Standing) -> OptimizationSession:
    """Of two accepted candidates the faster one was judged and is delivered."""
    return made.session(CRITERIA, plan="plan_of_two", evaluate="evaluate_two")


@pytest.fixture
def session(ended: OptimizationSession, monkeypatch: pytest.MonkeyPatch) -> OptimizationSession:
    handled: dict[Any, str] = dict(handlers.TABLE)
    handled |= {
        "plan": "tests.optimization.handlers:plan_of_two",
        "evaluate": "tests.optimization.handlers:evaluate_two",
    }
    monkeypatch.setattr(jobs, "HANDLERS", handled)
    return OptimizationSession.objects.get(pk=ended.pk)


def take(session: OptimizationSession, candidate: str = OTHER) -> None:
    with TestCase.captureOnCommitCallbacks(execute=True):
        services.session_take(session, session.created_by, candidate)


def turn_until_quiet() -> None:
    """Within the transaction of a test, whose rows go at its end: what is to happen after a commit happens at once."""
    turned = 1
    while turned:
        with TestCase.captureOnCommitCallbacks(execute=True):
            turned = crank.turn()


def taken(session: OptimizationSession, candidate: str = OTHER) -> OptimizationSession:
    take(session, candidate)
    turn_until_quiet()
    return OptimizationSession.objects.get(pk=session.pk)


def statuses(session: OptimizationSession) -> dict[str, str]:
    return dict(session.candidates.values_list("key", "status"))


def test_the_session_starts_from_a_front_of_two(session: OptimizationSession) -> None:
    assert session.verdict["candidate"] == CHOSEN
    assert statuses(session) == {CHOSEN: CandidateStatus.SELECTED, OTHER: CandidateStatus.ACCEPTED}
    front = services.front_of_session(session)
    assert {CHOSEN, OTHER} <= set(front.keys)


def test_a_candidate_that_was_not_judged_is_judged_and_then_delivered(session: OptimizationSession) -> None:
    before = session.package_id
    done = taken(session)

    assert done.status == Status.COMPLETED
    assert done.verdict["candidate"] == OTHER
    assert list(done.steps.order_by("pk").values_list("key", flat=True))[-2:] == ["take-1/judge", "take-1/package"]
    assert statuses(done) == {CHOSEN: CandidateStatus.ACCEPTED, OTHER: CandidateStatus.SELECTED}
    assert done.package_id != before
    email = session.created_by.email
    assert done.verdict["reason"].startswith(
        f"{email} chose c02; the manager had chosen c01. Against the manager's choice, it gives up speed (1.5× instead "
        "of 3× as fast) and it gains nothing."
    )
    assert done.verdict["taken"] == {
        "by": email,
        "number": 1,
        "instead": CHOSEN,
        "trade": done.verdict["taken"]["trade"],
        "further_looks": 1,
    }


def test_the_additional_look_counts_and_says_so(session: OptimizationSession) -> None:
    done = taken(session)
    step = done.steps.get(key="take-1/judge")
    assert step.parameters["finalists"] == [CHOSEN, OTHER]
    assert step.parameters["confidence"] == pytest.approx(0.975)
    choice = done.verdict["choice"]
    assert (choice["sharing"], choice["judged"]) == (2, 2)
    assert choice["confidence"] == pytest.approx(0.975)
    assert "It is the 1st look at these examples after the manager's decision" in choice["sentence"]
    assert "All verdicts of this session together are right with at least 92.5 %." in choice["sentence"]


def test_a_candidate_that_then_breaks_a_limit_is_refused_with_its_numbers(
    session: OptimizationSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(jobs.HANDLERS, "evaluate", "tests.optimization.handlers:evaluate_lossy_when_judged")
    before = session.verdict, session.package_id
    done = taken(session)

    assert (done.status, done.verdict, done.package_id) == (Status.COMPLETED, *before)
    assert statuses(done) == {CHOSEN: CandidateStatus.SELECTED, OTHER: CandidateStatus.REJECTED}
    (request,) = services.report(done).requests
    assert request.result == "refused"
    assert request.reason is not None
    assert "It loses 2.5 points." in request.reason
    assert request.reason.endswith("What was delivered before stands.")
    with pytest.raises(CandidateNotTakable, match=r"it was rejected\. It loses 2\.5 points"):
        services.session_take(done, done.created_by, OTHER)


def test_one_that_was_judged_is_packed_at_once_and_the_way_back_is_open(session: OptimizationSession) -> None:
    back = taken(taken(session), CHOSEN)
    assert back.verdict["candidate"] == CHOSEN
    assert back.verdict["reason"].startswith(f"{session.created_by.email} went back to c01.")
    assert not back.steps.filter(key="take-2/judge").exists()
    assert back.verdict["choice"]["sharing"] == 1
    assert [one.candidate for one in services.decisions_of(back)] == [CHOSEN, OTHER, CHOSEN]


def test_the_earlier_report_and_package_stay_readable(session: OptimizationSession) -> None:
    first = services.report(session)
    done = taken(session)
    client = Client()
    client.force_login(session.created_by)
    address = f"{session.get_absolute_url()}report/"

    earlier = client.get(f"{address}?decision=0").content.decode()
    assert "This is an earlier decision of the session." in earlier
    assert first.verdict.reason in earlier
    assert "Take this one instead" not in earlier
    present = client.get(address).content.decode()
    assert "c02; the manager had chosen c01." in present
    assert "?decision=0" in present

    api = f"/api/v1/sessions/{session.pk}"
    assert client.get(f"{api}/report/?decision=0").json()["verdict"] == first.verdict.model_dump(mode="json")
    assert client.get(f"{api}/report/").json()["verdict"]["candidate"] == OTHER
    for number in ("7", "x", "-1"):
        unknown = client.get(f"{api}/report/?decision={number}")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "session.decision_unknown")
    old = b"".join(client.get(f"{api}/package/?decision=0").streaming_content)
    new = b"".join(client.get(f"{api}/package/").streaming_content)
    assert old != new
    assert done.package is not None


def test_the_new_package_is_about_the_new_decision(session: OptimizationSession) -> None:
    done = taken(session)
    with open_blob(services.package_of(done).blob) as file, ZipFile(BytesIO(file.read())) as package:
        told = json.loads(package.read("report_json"))
        recipe = json.loads(package.read("recipe"))
        page = package.read("report_html").decode()
    assert told["verdict"]["candidate"] == recipe["verdict"]["candidate"] == OTHER
    assert told["decision"] == 1
    assert "the manager had chosen c01" in page
    assert "Take this one instead" not in page
    assert '<svg role="group"' in page


def test_two_clicks_are_one_request(session: OptimizationSession) -> None:
    take(session)
    with pytest.raises(SessionMoveRefused):
        services.session_take(session, session.created_by, OTHER)
    turn_until_quiet()
    with pytest.raises(CandidateNotTakable, match="delivers already"):
        services.session_take(session, session.created_by, OTHER)
    assert session.steps.filter(key__startswith="take-").count() == 2


def test_a_request_that_is_cancelled_leaves_what_was_delivered(session: OptimizationSession) -> None:
    before = session.verdict
    take(session)
    with TestCase.captureOnCommitCallbacks(execute=True):
        services.session_cancel(session, session.created_by)
    turn_until_quiet()
    done = OptimizationSession.objects.get(pk=session.pk)
    assert (done.status, done.verdict, done.cancel_requested_at) == (Status.COMPLETED, before, None)
    assert statuses(done)[CHOSEN] == CandidateStatus.SELECTED
    (request,) = services.report(done).requests
    assert request.result == "failed"
    assert taken(done).verdict["candidate"] == OTHER


def test_a_step_that_fails_leaves_what_was_delivered(
    session: OptimizationSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(jobs.HANDLERS, "evaluate", "tests.optimization.handlers:refuse")
    done = taken(session)
    assert (done.status, done.verdict["candidate"]) == (Status.COMPLETED, CHOSEN)
    (request,) = services.report(done).requests
    assert request.result == "failed"
    assert "This cannot be done with" in (request.reason or "")


def test_a_file_that_is_not_kept_is_made_again_and_what_is_made_is_judged(session: OptimizationSession) -> None:
    SessionStep.objects.filter(session=session, key=f"{OTHER}/optimize").update(artifact=None)
    done = taken(session)
    assert done.verdict["candidate"] == OTHER
    assert done.steps.get(key=f"{OTHER}/optimize").artifact is not None
    # The delivered one's file goes as well. It was judged before, but what is made again may be another file.
    SessionStep.objects.filter(session=session, key=f"{CHOSEN}/optimize").update(artifact=None)
    back = taken(done, CHOSEN)
    assert back.verdict["candidate"] == CHOSEN
    assert back.steps.filter(key="take-2/judge", status=Status.COMPLETED).exists()
    assert back.verdict["choice"]["sharing"] == 3


def test_a_file_that_cannot_be_made_again_is_refused_before_anything_runs(session: OptimizationSession) -> None:
    SessionStep.objects.filter(session=session, key=f"{OTHER}/optimize").update(artifact=None)
    settings = PipelineSettings.current()
    settings.disabled_techniques = ["onnx-float16"]
    settings.save()
    with pytest.raises(CandidateNotTakable, match="cannot be made again, because onnx-float16 is switched off"):
        services.session_take(session, session.created_by, OTHER)
    session.refresh_from_db()
    assert session.status == Status.COMPLETED


def test_promotions_stay_where_they_are(session: OptimizationSession) -> None:
    version = services.promote(session, session.created_by).version
    done = taken(session)
    assert done.result_version == version
    assert version.aliases.get(name="production").version == version
    client = Client()
    client.force_login(session.created_by)
    page = client.get(f"{session.get_absolute_url()}report/").content.decode()
    assert "of an earlier decision" in page


def test_the_page_and_the_api_take_it_and_the_audit_trail_says_who(session: OptimizationSession) -> None:
    client = Client()
    client.force_login(session.created_by)
    address = session.get_absolute_url()
    page = client.get(f"{address}report/").content.decode()
    assert "Take this one instead" in page
    assert 'id="take-c02"' in page
    assert 'id="take-c01"' not in page

    with TestCase.captureOnCommitCallbacks(execute=True):
        assert client.post(f"{address}take/", {"candidate": OTHER}).status_code == 302
    turn_until_quiet()
    with TestCase.captureOnCommitCallbacks(execute=True):
        path, body = f"/api/v1/sessions/{session.pk}/take/", {"candidate": CHOSEN}
        answer = client.post(path, body, content_type="application/json")
    assert answer.status_code == 202, answer.content
    turn_until_quiet()
    told = AuditEvent.objects.filter(session_id=session.pk, action__in=("session.candidate_taken", "taken"))
    assert [(one.actor, one.subject) for one in told.order_by("sequence")] == [
        (session.created_by.email, OTHER),
        ("OptimizationManager", OTHER),
        (session.created_by.email, CHOSEN),
        ("OptimizationManager", CHOSEN),
    ]


def test_errors_name_the_candidate(session: OptimizationSession) -> None:
    with pytest.raises(CandidateUnknown, match=r"'c09'\. Name one of c01 and c02"):
        services.session_take(session, session.created_by, "c09")
    with pytest.raises(CandidateNotTakable, match="delivers already"):
        services.session_take(session, session.created_by, CHOSEN)


def test_readers_may_not_take_and_strangers_see_nothing(session: OptimizationSession) -> None:
    viewer, stranger = User.objects.create_user("vera@example.org"), User.objects.create_user("sam@example.org")
    Membership.objects.create(team=session.team, user=viewer, role=Role.VIEWER)
    for user, status in ((viewer, 403), (stranger, 404)):
        client = Client()
        client.force_login(user)
        path = f"/api/v1/sessions/{session.pk}"
        body = {"candidate": OTHER}
        assert client.post(f"{path}/take/", body, content_type="application/json").status_code == status
        assert client.get(f"{path}/front/").status_code == (200 if user is viewer else 404)
    reader = Client()
    reader.force_login(viewer)
    assert "Take this one instead" not in reader.get(f"{session.get_absolute_url()}report/").content.decode()


# --- before it is taken -----------------------------------------------------------------------------------------------


def test_what_another_candidate_gives_up_is_said_with_intervals(session: OptimizationSession, client: Client) -> None:
    client.force_login(session.created_by)
    found = client.get(f"/api/v1/sessions/{session.pk}/alternatives/").json()
    assert found["delivered"] == CHOSEN
    (other,) = found["candidates"]
    assert (other["candidate"], other["takable"], other["on_front"], other["judged"]) == (OTHER, True, True, False)
    assert other["trade"].startswith(f"Against {CHOSEN}, which is delivered, it gives up ")
    assert "× [" in other["trade"], "the speed has its interval"
    page = unescape(client.get(f"/sessions/{session.pk}/report/").content.decode())
    assert other["trade"] in page
    assert f'id="take-{OTHER}"' in page
    assert f"candidate:{session.pk}:{OTHER}" in page


def test_any_candidate_can_be_downloaded_while_its_file_is_kept(session: OptimizationSession, client: Client) -> None:
    client.force_login(session.created_by)
    kept = session.candidates.get(key=OTHER)
    for address in (f"/sessions/{session.pk}/file/", f"/api/v1/sessions/{session.pk}/file/"):
        response = client.get(address, {"candidate": OTHER})
        assert f"-{OTHER}-" in response.headers["Content-Disposition"]
        maker = makers(session)[OTHER]
        assert maker.artifact is not None
        assert response.headers["ETag"] == f'"{maker.artifact.sha256}"'
        assert b"".join(response) == open_blob(maker.artifact).read()  # type: ignore[arg-type]
    SessionStep.objects.filter(pk=makers(session)[OTHER].pk).update(artifact=None)
    gone = client.get(f"/api/v1/sessions/{session.pk}/file/", {"candidate": kept.key})
    assert (gone.status_code, gone.json()["code"]) == (410, "session.candidate_file_gone")
    unknown = client.get(f"/api/v1/sessions/{session.pk}/file/", {"candidate": "c77"})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "session.candidate_unknown")


def test_a_rejected_candidate_is_not_offered(session: OptimizationSession, client: Client) -> None:
    session.candidates.filter(key=OTHER).update(status=CandidateStatus.REJECTED, reason="It is too slow.")
    client.force_login(session.created_by)
    (other,) = client.get(f"/api/v1/sessions/{session.pk}/alternatives/").json()["candidates"]
    assert not other["takable"]
    page = client.get(f"/sessions/{session.pk}/report/").content.decode()
    assert "It cannot be delivered or promoted: It is too slow." in page
    assert f'id="take-{OTHER}"' not in page
    assert f'id="file-{OTHER}"' in page
