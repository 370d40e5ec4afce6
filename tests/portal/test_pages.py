"""What the pages of sessions show, and to whom."""

from __future__ import annotations

from datetime import timedelta
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.middleware import SESSION_KEY
from apps.accounts.models import Membership, Role, Team, TokenScope, User
from apps.accounts.tokens import create_token
from apps.agents.contracts.criteria import PROFILES
from apps.agents.contracts.sandbox import Sandbox
from apps.agents.contracts.state import CandidateStatus, Status
from apps.agents.measuring.scheduling.health import TimingHealth
from apps.agents.techniques.catalogue import BrokenTechnique
from apps.audit import verification
from apps.audit.models import AuditVerification
from apps.models.models import ModelVersion
from apps.optimization import live
from apps.optimization.forms.criteria import CriteriaForm
from apps.optimization.models import Candidate, CriteriaSet, EvaluationReport, OptimizationSession, Worker
from apps.optimization.services import preview
from apps.optimization.views import dashboard
from tests.optimization import material
from tests.portal import world
from tests.portal.world import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def everything(team: Team, owner: User, engineer: User, viewer: User) -> World:
    return world.build(team, owner)


def text_of(client: Client, person: User, name: str, *arguments: object) -> str:
    client.force_login(person)
    return client.get(reverse(name, args=arguments)).content.decode()


def as_in_other_team(client: Client, person: User) -> Team:
    """`person` works in a second team, where there is nothing yet."""
    other = Team.objects.create(name="Zebra", slug="zebra")
    Membership.objects.create(team=other, user=person, role=Role.OWNER)
    client.force_login(person)
    state = client.session
    state[SESSION_KEY] = other.pk
    state.save()
    return other


def as_before(session: OptimizationSession, *, hours: int, **changed: Any) -> OptimizationSession:
    """A session that ended like `session`, so many hours before it, but for what is `changed`."""
    older = OptimizationSession.objects.get(pk=session.pk)
    older.pk, older.finished_at = uuid4(), session.finished_at - timedelta(hours=hours)
    for name, value in changed.items():
        setattr(older, name, value)
    older.save(force_insert=True)
    return older


class TestDashboard:
    def test_an_improvement_nobody_promoted_needs_somebody(self, client: Client, everything: World, owner: User):
        html = text_of(client, owner, "optimization:dashboard")
        assert f'id="promote-{everything.session.pk}"' in html

    def test_of_two_results_of_one_question_only_the_newer_does(
        self, client: Client, everything: World, owner: User
    ) -> None:
        older = as_before(everything.session, hours=1)
        html = text_of(client, owner, "optimization:dashboard")
        assert f'id="promote-{everything.session.pk}"' in html
        assert f'id="promote-{older.pk}"' not in html
        assert f'id="report-{older.pk}"' in html, "it is among the finished ones"

    def test_of_two_results_of_one_question_the_older_asks_nothing_once_the_newer_is_promoted(
        self, client: Client, everything: World, owner: User
    ) -> None:
        older = as_before(everything.session, hours=1)
        OptimizationSession.objects.filter(pk=everything.session.pk).update(result_version=everything.version)
        html = text_of(client, owner, "optimization:dashboard")
        assert f'id="promote-{older.pk}"' not in html
        assert "Not promoted yet" not in html

    def test_many_results_of_one_question_hide_no_other_question(
        self, client: Client, everything: World, owner: User
    ) -> None:
        for hours in range(1, dashboard.RECENT + 1):
            as_before(everything.session, hours=hours)
        other = ModelVersion.objects.create(model=everything.model, number=2, blob=everything.version.blob)
        oldest = as_before(everything.session, hours=dashboard.RECENT + 1, version=other)
        html = text_of(client, owner, "optimization:dashboard")
        assert f'id="promote-{oldest.pk}"' in html
        assert html.count("Not promoted yet") == 2

    def test_a_cancelled_session_is_among_the_finished_ones(
        self, client: Client, everything: World, owner: User
    ) -> None:
        OptimizationSession.objects.update(status=Status.CANCELLED, outcome="", verdict=None)
        html = text_of(client, owner, "optimization:dashboard")
        assert f'id="session-{everything.session.pk}"' in html
        assert "Cancelled" in html

    def test_a_promoted_one_no_longer_does(self, client: Client, everything: World, owner: User):
        OptimizationSession.objects.update(result_version=everything.version)
        everything.request.delete()
        assert 'id="needs-you"' not in text_of(client, owner, "optimization:dashboard")

    def test_what_nobody_took_up_for_weeks_asks_for_nobody(self, client: Client, everything: World, owner: User):
        OptimizationSession.objects.update(finished_at=timezone.now() - timedelta(days=30))
        everything.request.delete()
        assert 'id="needs-you"' not in text_of(client, owner, "optimization:dashboard")

    def test_a_new_team_is_shown_its_first_steps(self, client: Client, team: Team, engineer: User):
        html = text_of(client, engineer, "optimization:dashboard")
        assert 'id="first-steps"' in html
        assert 'id="first-model"' in html

    def test_a_viewer_is_offered_no_step(self, client: Client, team: Team, viewer: User):
        html = text_of(client, viewer, "optimization:dashboard")
        assert 'id="first-steps"' in html
        assert 'id="first-model"' not in html


class TestAuditTrail:
    def test_the_page_says_whether_the_chain_is_whole(self, client: Client, everything: World, viewer: User) -> None:
        assert "not verified yet" in text_of(client, viewer, "optimization:audit")
        verification.verified()
        assert '<span class="badge badge-ok">whole</span>' in text_of(client, viewer, "optimization:audit")
        AuditVerification.objects.update(broken_at=1, reason="changed")
        assert '<span class="badge badge-bad">broken</span>' in text_of(client, viewer, "optimization:audit")

    def test_so_does_the_api(self, everything: World, viewer: User) -> None:
        program = Client(
            headers={"Authorization": f"Bearer {create_token(viewer, name='ci', scope=TokenScope.READ, days=1)[1]}"}
        )
        assert program.get("/api/v1/audit/chain/").json() == {"whole": None, "verified_at": None}
        verification.verified()
        assert program.get("/api/v1/audit/chain/").json()["whole"] is True

    def test_an_error_links_to_what_its_code_means(self, client: Client, everything: World, viewer: User) -> None:
        OptimizationSession.objects.update(status=Status.FAILED, error="No.", error_code="session.nothing_to_promote")
        html = text_of(client, viewer, "optimization:session-detail", everything.session.pk)
        assert 'href="/docs/errors/#session.nothing_to_promote"' in html


@pytest.mark.parametrize(
    "name",
    ["optimization:dashboard", "optimization:session-list", "optimization:audit", "optimization:criteria-list"],
)
def test_a_list_shows_the_team_that_is_worked_in(client: Client, everything: World, owner: User, name: str):
    known = "ours" if name == "optimization:criteria-list" else "resnet"
    assert known in text_of(client, owner, name)
    as_in_other_team(client, owner)
    assert known not in client.get(reverse(name)).content.decode()


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("get", "optimization:session-new"),
        ("post", "optimization:session-new"),
        ("get", "optimization:session-preview"),
        ("get", "optimization:criteria-new"),
        ("post", "accounts:invite"),
    ],
)
def test_a_person_without_a_team_is_sent_to_an_owner(client: Client, db: None, method: str, name: str):
    client.force_login(User.objects.create_user("alone@example.org"))
    response = getattr(client, method)(reverse(name))
    assert response.status_code == 403
    assert "Ask an owner for an invitation" in response.content.decode()


class TestHistory:
    def test_it_can_be_narrowed(self, client: Client, everything: World, viewer: User):
        client.force_login(viewer)
        address = reverse("optimization:session-list")
        assert str(everything.session.pk) in client.get(address, {"status": "completed"}).content.decode()
        assert str(everything.session.pk) not in client.get(address, {"status": "failed"}).content.decode()
        assert str(everything.session.pk) not in client.get(address, {"search": "bert"}).content.decode()

    def test_it_brings_itself_up_to_date_while_something_runs(self, client: Client, everything: World, viewer: User):
        assert "every 5s" not in text_of(client, viewer, "optimization:session-list")
        OptimizationSession.objects.update(status=Status.RUNNING)
        assert "every 5s" in text_of(client, viewer, "optimization:session-list")


class TestSessionPage:
    def test_who_only_looks_gets_no_buttons(self, client: Client, everything: World, engineer: User, viewer: User):
        OptimizationSession.objects.update(status=Status.RUNNING)
        page = "optimization:session-detail"
        assert 'id="session-cancel"' in text_of(client, engineer, page, everything.session.pk)
        assert 'id="session-cancel"' not in text_of(client, viewer, page, everything.session.pk)

    @pytest.mark.parametrize("writes", [True, False])
    def test_a_push_keeps_to_that(self, everything: World, writes: bool):
        OptimizationSession.objects.update(status=Status.FAILED)
        everything.session.refresh_from_db()
        assert ('id="session-resume"' in live.fragments(everything.session, writes=writes)["head"]) is writes

    @pytest.mark.parametrize(
        ("status", "press", "shown"), [(Status.RUNNING, "cancel", "stopping…"), (Status.FAILED, "resume", "Queued")]
    )
    def test_a_press_changes_the_head_in_place_and_leads_nowhere(
        self, client: Client, everything: World, engineer: User, status: str, press: str, shown: str
    ):
        OptimizationSession.objects.update(status=status)
        client.force_login(engineer)
        address = reverse(f"optimization:session-{press}", args=[everything.session.pk])
        answer = client.post(address, headers={"HX-Request": "true"})
        assert "HX-Redirect" not in answer.headers
        head = answer.content.decode()
        assert 'id="session-head" hx-swap-oob="true"' in head
        assert (shown in head, f'id="session-{press}"' in head) == (True, False)


class TestReport:
    def other_candidate(self, everything: World) -> Candidate:
        first = everything.session.candidates.get()
        evaluation = EvaluationReport.objects.get(candidate=first)
        first.pk, first.key, first.status = None, "c02", CandidateStatus.REJECTED
        first.save()
        evaluation.candidate = first
        evaluation.pk = first.pk
        evaluation.save(force_insert=True)
        return first

    def test_it_begins_with_the_verdict_and_shows_all_evidence(self, client: Client, everything: World, viewer: User):
        html = text_of(client, viewer, "optimization:report", everything.session.pk)
        parts = ("report-verdict", "report-constraints", "report-comparison", "report-blocks", "report-classes")
        places = [html.index(f'id="{part}"') for part in (*parts, "report-plan", "analysis-layers", "report-origin")]
        assert places == sorted(places)

    def test_it_shows_both_sizes_and_says_which_counts(self, client: Client, everything: World, viewer: User):
        html = text_of(client, viewer, "optimization:report", everything.session.pk)
        assert "4.00× compressed" in html
        assert "Compressed size" in html
        assert "the criteria count the file as it is" in html

    def test_it_says_which_limit_binds(self, client: Client, everything: World, viewer: User):
        verdict = {"outcome": "unchanged", "binding": "min_speedup", "reason": "Nothing was fast enough."}
        OptimizationSession.objects.update(outcome="unchanged", verdict=verdict)
        html = text_of(client, viewer, "optimization:report", everything.session.pk)
        assert "Binding limit: <strong>Faster by at least</strong>" in html

    def test_other_candidates_show_every_number_too(self, client: Client, everything: World, viewer: User):
        self.other_candidate(everything)
        html = text_of(client, viewer, "optimization:report", everything.session.pk)
        assert 'href="#candidate-c02"' in html
        assert 'id="c02-comparison"' in html

    def test_only_who_may_write_is_offered_promotion(
        self, client: Client, everything: World, engineer: User, viewer: User
    ):
        assert "Promote" in text_of(client, engineer, "optimization:report", everything.session.pk)
        assert "Promote" not in text_of(client, viewer, "optimization:report", everything.session.pk)

    def test_rolling_back_is_offered_where_there_is_a_way_back(self, client: Client, everything: World, engineer: User):
        newer = ModelVersion.objects.create(
            model=everything.model, number=2, blob=everything.version.blob, filename="resnet.onnx", status="ready"
        )
        OptimizationSession.objects.update(result_version=newer)
        everything.alias.version = newer
        everything.alias.save()
        page = ("optimization:report", everything.session.pk)
        assert "Roll back" not in text_of(client, engineer, *page)
        everything.alias.moves.create(from_version=everything.version, to_version=newer, moved_by=engineer)
        assert "Roll back" in text_of(client, engineer, *page)


def test_a_versions_page_has_its_sessions_and_analysis(client: Client, everything: World, viewer: User):
    html = text_of(client, viewer, "models:version-detail", everything.model.pk, everything.version.number)
    assert f'id="report-{everything.session.pk}"' in html
    assert 'id="analysis-layers"' in html


def test_new_criteria_from_no_possible_criteria_begin_empty(client: Client, engineer: User):
    client.force_login(engineer)
    assert client.get(reverse("optimization:criteria-new"), {"from": "9" * 5000}).status_code == 200


def test_the_size_that_counts_is_asked_for_and_shown(client: Client, everything: World, engineer: User):
    client.force_login(engineer)
    form = {**CriteriaForm.answers_of(PROFILES["smallest"]), "name": "downloads", "counted_size": "compressed"}
    given = {name: value for name, value in form.items() if value is not None}
    response = client.post(reverse("optimization:criteria-new"), given, follow=True)
    assert CriteriaSet.objects.get(name="downloads").criteria.counted_size == "compressed"
    assert "the compressed download" in response.content.decode()


def test_criteria_that_contradict_themselves_come_back_with_what_was_asked(
    client: Client, everything: World, engineer: User
):
    client.force_login(engineer)
    CriteriaSet.objects.create(team=everything.team, name="taken", body=PROFILES["fastest"].model_dump(mode="json"))
    form = {"name": "odd", "objective": "latency", "confidence": "0.2"}
    response = client.post(reverse("optimization:criteria-new"), form)
    assert response.status_code == 422
    assert 'value="odd"' in response.content.decode()


def test_the_audit_trail_is_narrowed_to_a_session(client: Client, everything: World, viewer: User):
    client.force_login(viewer)
    address = reverse("optimization:audit")
    for text in (str(everything.session.pk), everything.session.pk.hex[:6]):
        assert "session.started" in client.get(address, {"session": text}).content.decode()
    assert "session.started" not in client.get(address, {"session": "ffffffffff"}).content.decode()


class TestWorkers:
    def test_what_no_worker_has_is_shown_by_name(self, client: Client, team: Team, engineer: User):
        Worker.objects.create(name="shed:1", queues=["cpu"], machine={"libraries": {"onnx": "1.23.2"}})
        assert "no worker has onnxruntime" in text_of(client, engineer, "optimization:workers")

    def test_a_technique_that_could_not_be_added_is_told_by_name_with_the_reason(
        self, client: Client, team: Team, engineer: User, monkeypatch: pytest.MonkeyPatch
    ):
        here = BrokenTechnique(entry="shrink", package="acme", target="acme:SHRINK", reason="No module named 'acme'.")
        there = here.model_copy(update={"reason": "acme:SHRINK is str, not TechniqueSpec."})
        monkeypatch.setattr(preview, "broken_techniques", lambda: (here,))
        for name, found in (("shed:1", [here, there]), ("shed:2", [there])):
            machine = {"broken_techniques": [one.model_dump() for one in found]}
            Worker.objects.create(name=name, queues=["cpu"], machine=machine)
        page = unescape(text_of(client, engineer, "optimization:workers"))
        for one, places in ((here, "the portal, shed:1"), (there, "shed:1, shed:2")):
            assert "<code>shrink</code> (<code>acme:SHRINK</code>) of the package <code>acme</code>" in page
            assert f"is left out on {places}: {one.reason}" in page

    def test_a_queue_that_nobody_serves_is_told_with_what_waits(self, client: Client, team: Team, engineer: User):
        Worker.objects.create(name="shed:1", queues=["default", "cpu"])
        page = text_of(client, engineer, "optimization:workers")
        assert "so uploads are not checked" in page
        assert "nothing is analysed" not in page

    @pytest.mark.parametrize(
        ("latency", "badge", "said"),
        [
            (
                {"control": {"value": 1.0, "low": 0.99, "high": 1.02}, "runs": 200, "disturbed": 8},
                "badge-ok",
                ["good", "0.990 to 1.02", "8 of 200 runs disturbed (4 %)"],
            ),
            (
                {"control": {"value": 1.0, "low": 0.92, "high": 1.02}},
                "badge-warn",
                ["busy", "within 8 % of 1 are noise"],
            ),
            (
                {"control": {"value": 1.0, "low": -1e9, "high": 1e9}, "runs": 200, "disturbed": 190, "busy": True},
                "badge-bad",
                ["too busy", "Too few runs were undisturbed to know", "190 of 200"],
            ),
        ],
    )
    def test_how_quiet_a_machine_is_stands_beside_it_in_words_and_colour(
        self, client: Client, team: Team, engineer: User, latency: dict[str, Any], badge: str, said: list[str]
    ):
        timing = TimingHealth.of(latency, timezone.now()).model_dump(mode="json")
        Worker.objects.create(
            name="shed:1", queues=["cpu"], timing=timing, measuring_cores=[2, 3], priority="SCHED_FIFO, priority 1"
        )
        page = text_of(client, engineer, "optimization:workers")
        assert all(words in page for words in (badge, *said))
        assert "cores 2-3 only" in page
        assert "SCHED_FIFO, priority 1" in page

    @pytest.mark.parametrize(
        ("sandbox", "badge", "said"),
        [
            (Sandbox(landlock_abi=7, call_filter=True), "badge-ok", ["full"]),
            (Sandbox(landlock_abi=4, call_filter=True), "badge-warn", ["enough", "can end processes of the worker"]),
            (Sandbox(), "badge-bad", ["none", "can read and change every file", "it can use the network (seccomp)"]),
        ],
    )
    def test_how_far_uploads_are_closed_in_stands_there_with_what_is_open(
        self, client: Client, team: Team, engineer: User, sandbox: Sandbox, badge: str, said: list[str]
    ):
        Worker.objects.create(name="shed:1", queues=["checks"], machine={"sandbox": sandbox.model_dump(mode="json")})
        page = text_of(client, engineer, "optimization:workers")
        assert all(words in page for words in (f'{badge}">{sandbox.level.value}', *said))
        Worker.objects.update(queues=["default"])
        assert "Sandbox" not in text_of(client, engineer, "optimization:workers")

    def test_what_computes_on_a_device_stands_there_and_in_the_api_and_what_does_not_with_the_reason(
        self, client: Client, team: Team, engineer: User
    ):
        reported = material.acceleration(onnx=False).model_dump(mode="json")
        worker = Worker.objects.create(
            name="shed:1", queues=["gpu"], machine={"acceleration": reported, "code": "0" * 12}
        )
        page = unescape(text_of(client, engineer, "optimization:workers"))
        for words in (
            "NVIDIA H100, 85.9 GB",
            "compute capability 9.0, driver 580.95",
            'badge-ok">PyTorch',
            'badge-warn">ONNX',
            "no: its ONNX Runtime is a build for the CPU",
            "not the portal's",
        ):
            assert words in page, words
        (row,) = client.get("/api/v1/workers/").json()["results"]
        assert (row["acceleration"], row["code"], row["clock_skew_s"]) == (reported, "0" * 12, None)
        reported["devices"][0]["memory_bytes"] = None  # As for memory that it shares with the CPU.
        worker.save()
        assert "NVIDIA H100 <span" in text_of(client, engineer, "optimization:workers")
        worker.machine = {}
        worker.save()
        assert "it serves the queue <code>gpu</code> and reports no device" in text_of(
            client, engineer, "optimization:workers"
        )

    def test_a_worker_that_timed_nothing_yet_says_so_and_one_that_never_does_is_silent(
        self, client: Client, team: Team, engineer: User
    ):
        worker = Worker.objects.create(name="shed:1", queues=["cpu"])
        assert "no model timed yet" in text_of(client, engineer, "optimization:workers")
        worker.queues = ["checks"]
        worker.save()
        assert "A/A spread" not in text_of(client, engineer, "optimization:workers")
