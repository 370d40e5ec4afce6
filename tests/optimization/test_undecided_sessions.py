"""Sessions that end without knowing, from the first step to every place that tells of them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.agents.contracts.criteria import Criteria, Objective
from apps.agents.contracts.state import CandidateStatus, Outcome, Status, StepKind
from apps.audit.models import AuditEvent
from apps.models.storage import open_blob
from apps.optimization import jobs, services
from apps.optimization.errors import NothingToPromote
from apps.optimization.management.commands import optimize
from apps.optimization.models import OptimizationSession
from lathe import terminal
from lathe.management.commands import demo
from tests.optimization import crank
from tests.optimization.arguments import arguments_of

pytestmark = [
    pytest.mark.portable,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("stored", "small_handlers", "impatient"),
]

Start = Callable[..., OptimizationSession]
DISTURBED = "812 of 900 timed runs were disturbed by other programs"


def finished(session: OptimizationSession) -> OptimizationSession:
    crank.turn_until_quiet()
    session.refresh_from_db()
    return session


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = "tests.optimization.handlers:evaluate_on_a_busy_machine"
    monkeypatch.setitem(jobs.HANDLERS, StepKind.EVALUATE, handler)


@pytest.fixture
def inconclusive(busy: None, start: Start) -> OptimizationSession:
    return finished(start())


@pytest.fixture
def not_measured(start: Start) -> OptimizationSession:
    """The minutes are over before anything is tried."""
    return finished(start(criteria=Criteria.model_validate({"budget": {"minutes": 0.0001}})))


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
    outcome: Outcome, request: pytest.FixtureRequest, engineer: User
) -> None:
    session = request.getfixturevalue(outcome.value)
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
def test_the_package_has_the_original_and_nothing_is_promoted(outcome: Outcome, request: pytest.FixtureRequest) -> None:
    session = request.getfixturevalue(outcome.value)
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
    outcome: Outcome, action: str, request: pytest.FixtureRequest, admin_client: Client
) -> None:
    session = request.getfixturevalue(outcome.value)
    events = AuditEvent.objects.filter(session_id=session.pk)
    decided, completed = events.get(key="verdict"), events.get(action="session.completed")
    assert (decided.action, completed.data["outcome"]) == (action, outcome)
    assert session.verdict["advice"] in decided.reason
    address = reverse("admin:optimization_optimizationsession_changelist")
    assert str(session) in admin_client.get(address, {"outcome__exact": outcome.value}).content.decode()
    assert str(session) not in admin_client.get(address, {"outcome__exact": "unchanged"}).content.decode()


@pytest.mark.parametrize("outcome", [Outcome.INCONCLUSIVE, Outcome.NOT_MEASURED])
def test_the_list_is_narrowed_and_the_first_page_asks_for_somebody(
    outcome: Outcome, request: pytest.FixtureRequest, client: Client, engineer: User
) -> None:
    session = request.getfixturevalue(outcome.value)
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


def test_by_size_it_is_handed_over_and_the_speed_is_said_to_be_unknown_beside_the_gain(
    busy: None, start: Start, client: Client, engineer: User
) -> None:
    session = finished(start(criteria=Criteria(objective=Objective.SIZE)))
    assert session.outcome == Outcome.IMPROVED
    client.force_login(engineer)
    page = client.get(reverse("optimization:report", args=[session.pk])).content.decode()
    assert f'id="report-speed-unknown">The speed is not known: {DISTURBED}.' in page
    assert f"The speed is not known: {DISTURBED}." in terminal.report(session, width=300)
    assert "It meets every constraint: speed not known, 4.00 times smaller" in page
    detail = client.get(session.get_absolute_url()).content.decode()
    assert "speed not known" in session.headline.sentence
    assert session.headline.sentence in detail
    assert '<td class="num" data-label="Faster">not known' in detail
    listed = client.get(reverse("optimization:session-list")).content.decode()
    assert '<td class="num" data-label="Faster">–</td>' in listed
    assert '<td class="num" data-label="Smaller">4.00×</td>' in listed


# --- exit codes ------------------------------------------------------------------------------------------------------


def run_optimize(engineer: User, monkeypatch: pytest.MonkeyPatch, **criteria: object) -> str:
    """What `manage.py optimize --wait` says; the pipeline is turned while it waits."""
    monkeypatch.setattr(optimize.time, "sleep", lambda seconds: crank.turn_until_quiet())
    out = StringIO()
    call_command("optimize", "resnet", "digits", user=engineer.email, wait=True, set=criteria, stdout=out)
    return out.getvalue()


def test_a_script_that_waits_tells_the_outcomes_apart(
    version: object, dataset: object, engineer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = run_optimize(engineer, monkeypatch)
    assert "waiting: next in the queue" in said
    with pytest.raises(CommandError, match=r"Not measured: the budget ended.*more time") as ended:
        run_optimize(engineer, monkeypatch, budget={"minutes": 0.0001})
    assert ended.value.returncode == 3
    monkeypatch.setitem(jobs.HANDLERS, StepKind.EVALUATE, "tests.optimization.handlers:evaluate_on_a_busy_machine")
    with pytest.raises(CommandError, match=f"Inconclusive: the machine is too busy. {DISTURBED}") as ended:
        run_optimize(engineer, monkeypatch)
    assert ended.value.returncode == 4
    monkeypatch.setitem(jobs.HANDLERS, StepKind.ANALYSE, "tests.optimization.handlers:refuse")
    with pytest.raises(CommandError) as ended:
        run_optimize(engineer, monkeypatch)
    assert ended.value.returncode == 1


@pytest.mark.parametrize(
    ("outcome", "code"), [(Outcome.UNCHANGED, 1), (Outcome.NOT_MEASURED, 3), (Outcome.INCONCLUSIVE, 4)]
)
def test_the_demo_exits_with_the_code_of_its_outcome(session: OptimizationSession, outcome: Outcome, code: int) -> None:
    session.status, session.outcome = Status.COMPLETED, outcome
    with pytest.raises(CommandError) as ended:
        demo.Command._exit(session)
    assert ended.value.returncode == code


def test_the_demo_is_content_with_a_better_model(session: OptimizationSession) -> None:
    session.status, session.outcome = Status.COMPLETED, Outcome.IMPROVED
    demo.Command._exit(session)
