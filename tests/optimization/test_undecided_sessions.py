"""Sessions that end without knowing, from the first step to every place that tells of them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from apps.accounts.models import Membership, Role, User
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.state import CandidateStatus, Outcome, Status, StepKind
from apps.audit.models import AuditEvent
from apps.models.storage import open_blob
from apps.optimization import services
from apps.optimization.errors.results import NothingToPromote
from apps.optimization.models import OptimizationSession
from lathe import terminal
from tests.optimization.arguments import arguments_of
from tests.optimization.standing import standing

pytestmark = [pytest.mark.portable, pytest.mark.django_db]

DISTURBED = "812 of 900 timed runs were disturbed by other programs"
Sessions = dict[Outcome, OptimizationSession]


@pytest.fixture(scope="module")
def undecided(django_db_setup: None, django_db_blocker: Any) -> Iterator[Sessions]:
    """A session on a busy machine, and one whose minutes were over before anything was tried."""
    brief = Criteria.model_validate({"budget": {"minutes": 0.0001}})
    with standing(django_db_blocker.unblock) as made:
        yield {
            Outcome.INCONCLUSIVE: made.session(evaluate="evaluate_on_a_busy_machine"),
            Outcome.NOT_MEASURED: made.session(brief),
        }


@pytest.fixture
def inconclusive(undecided: Sessions) -> OptimizationSession:
    return undecided[Outcome.INCONCLUSIVE]


@pytest.fixture
def not_measured(undecided: Sessions) -> OptimizationSession:
    return undecided[Outcome.NOT_MEASURED]


@pytest.fixture
def engineer(inconclusive: OptimizationSession) -> User:
    """Who started both."""
    return inconclusive.created_by


@pytest.fixture
def viewer(inconclusive: OptimizationSession) -> User:
    user = User.objects.create_user("vera@example.org")
    Membership.objects.create(team=inconclusive.team, user=user, role=Role.VIEWER)
    return user


def pages_of(session: OptimizationSession, client: Client, user: User) -> Iterator[tuple[str, str]]:
    client.force_login(user)
    for name, arguments in (("session-detail", [session.pk]), ("report", [session.pk]), ("session-list", [])):
        yield name, client.get(reverse(f"optimization:{name}", args=arguments)).content.decode()


def test_a_busy_machine_is_said_everywhere_in_the_first_sentence(
    inconclusive: OptimizationSession, client: Client, engineer: User
) -> None:
    assert (inconclusive.status, inconclusive.outcome) == (Status.COMPLETED, Outcome.INCONCLUSIVE)
    assert inconclusive.candidates.get(key="c01").status == CandidateStatus.REJECTED
    for name, html in pages_of(inconclusive, client, engineer):
        assert "Inconclusive: the machine is too busy" in html, name
        assert 'class="badge badge-busy"' in html or name == "report", name
        if name != "session-list":
            assert 'class="notice notice-busy"' in html, name
            assert f"<strong>Inconclusive: the machine is too busy.</strong> {DISTURBED}" in html, name
            assert "LATHE_CORES" in html, name
    text = terminal.report(inconclusive, width=300)
    assert f"Inconclusive: the machine is too busy.\n{DISTURBED}" in text
    assert "What to do: Start the session again when the machine is quiet" in text


def test_a_session_that_measured_nothing_says_so_and_what_to_do(
    not_measured: OptimizationSession, client: Client, engineer: User
) -> None:
    assert (not_measured.status, not_measured.outcome) == (Status.COMPLETED, Outcome.NOT_MEASURED)
    for name, html in pages_of(not_measured, client, engineer):
        assert "Not measured: the budget ended before any candidate was measured" in html, name
        assert 'class="badge badge-void"' in html or name == "report", name
        assert "The original stands" not in html, name
        if name != "session-list":
            assert 'class="notice notice-void"' in html, name
            assert "Give the session more time: at least about 1 minute instead" in html, name
    text = terminal.report(not_measured, width=300)
    assert "Not measured: the budget ended before any candidate was measured." in text
    assert "What to do: Give the session more time" in text


@pytest.mark.parametrize("outcome", [Outcome.INCONCLUSIVE, Outcome.NOT_MEASURED])
def test_the_api_has_the_outcome_its_reason_and_a_filter_for_it(
    outcome: Outcome, undecided: Sessions, engineer: User
) -> None:
    session = undecided[outcome]
    api = APIClient()
    api.force_authenticate(engineer)
    body = api.get(f"/api/v1/sessions/{session.pk}/").json()
    verdict = body["verdict"]
    assert (body["outcome"], verdict["outcome"]) == (outcome, outcome)
    assert verdict["headline"]["sentence"] == session.headline.sentence
    assert verdict["advice"]
    assert (body["waiting"], body["worked_s"]) == (None, session.worked_s)
    assert body["elapsed_s"] == pytest.approx(body["worked_s"] + body["waited_s"], abs=0.01)
    if outcome is Outcome.INCONCLUSIVE:
        assert (verdict["disturbed_runs"], verdict["timed_runs"], verdict["binding"]) == (812, 900, "busy")
    found = api.get("/api/v1/sessions/", {"outcome": outcome.value}).json()["results"]
    assert [one["id"] for one in found] == [str(session.pk)]
    assert not api.get("/api/v1/sessions/", {"outcome": "unchanged"}).json()["results"]
    report = api.get(f"/api/v1/sessions/{session.pk}/report/").json()
    assert (report["outcome"], report["verdict"]["advice"]) == (outcome, verdict["advice"])


@pytest.mark.parametrize("outcome", [Outcome.INCONCLUSIVE, Outcome.NOT_MEASURED])
def test_the_package_has_the_original_and_nothing_is_promoted(outcome: Outcome, undecided: Sessions) -> None:
    session = undecided[outcome]
    package = session.steps.get(kind=StepKind.PACKAGE)
    assert (package.parent_key, package.candidate_key) == ("", "")
    assert arguments_of(package)["outcome"] == outcome
    with open_blob(services.package_of(session).blob) as file, zipfile.ZipFile(file) as archive:
        report = json.loads(archive.read("report_json"))
        page = archive.read("report_html").decode()
    assert report["outcome"] == outcome
    assert session.headline.sentence in page
    assert report["verdict"]["advice"] in page
    with pytest.raises(NothingToPromote):
        services.promote(session, session.created_by)


@pytest.mark.parametrize(
    ("outcome", "action"), [(Outcome.INCONCLUSIVE, "inconclusive"), (Outcome.NOT_MEASURED, "not measured")]
)
def test_the_audit_trail_and_the_admin_tell_them_apart(
    outcome: Outcome, action: str, undecided: Sessions, admin_client: Client
) -> None:
    session = undecided[outcome]
    events = AuditEvent.objects.filter(session_id=session.pk)
    decided, completed = events.get(key="verdict"), events.get(action="session.completed")
    assert (decided.action, completed.data["outcome"]) == (action, outcome)
    assert session.verdict["advice"] in decided.reason
    address = reverse("admin:optimization_optimizationsession_changelist")
    assert str(session) in admin_client.get(address, {"outcome__exact": outcome.value}).content.decode()
    assert str(session) not in admin_client.get(address, {"outcome__exact": "unchanged"}).content.decode()


@pytest.mark.parametrize("outcome", [Outcome.INCONCLUSIVE, Outcome.NOT_MEASURED])
def test_the_list_is_narrowed_and_the_first_page_asks_for_somebody(
    outcome: Outcome, undecided: Sessions, client: Client, engineer: User
) -> None:
    session = undecided[outcome]
    client.force_login(engineer)
    address = reverse("optimization:session-list")
    page = client.get(address).content.decode()
    assert f'<option value="{outcome.value}">{outcome.value.replace("_", " ").capitalize()}</option>' in page
    assert f"session-{session.pk}" in client.get(address, {"outcome": outcome.value}).content.decode()
    assert f"session-{session.pk}" not in client.get(address, {"outcome": "unchanged"}).content.decode()
    first = client.get(reverse("optimization:dashboard")).content.decode()
    assert f'id="undecided-{session.pk}"' in first
    services.session_retry(session, engineer)
    assert f'id="undecided-{session.pk}"' not in client.get(reverse("optimization:dashboard")).content.decode()


@pytest.mark.parametrize(("writes", "shown"), [("engineer", True), ("viewer", False)])
def test_who_may_write_is_offered_to_start_again(
    inconclusive: OptimizationSession, request: pytest.FixtureRequest, client: Client, writes: str, shown: bool
) -> None:
    client.force_login(request.getfixturevalue(writes))
    page = client.get(inconclusive.get_absolute_url()).content.decode()
    assert ('id="session-retry"' in page, 'id="session-again"' in page) == (shown, shown)
