"""Default criteria: a member's before the team's, followed through versions, and used where a request names none."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from rest_framework.test import APIClient

from apps.accounts.models import Team, User
from apps.agents.contracts.criteria import Constraints, Criteria, Objective
from apps.audit.models import AuditEvent
from apps.models.models import DataSet, ModelVersion
from apps.optimization import criteria, services
from apps.optimization.default_criteria import defaults_of, set_default
from apps.optimization.errors.criteria import CriteriaMissing, CriteriaOutdated, DefaultOfAnotherTeam
from apps.optimization.models import CriteriaSet, OptimizationSession

pytestmark = pytest.mark.django_db
DEFAULTS = "/api/v1/criteria/defaults/"


@pytest.fixture
def edge(team: Team, engineer: User) -> CriteriaSet:
    return criteria.create(user=engineer, team=team, name="Edge boxes", criteria=Criteria(objective=Objective.SIZE))


@pytest.fixture
def fast(team: Team, engineer: User) -> CriteriaSet:
    return criteria.create(user=engineer, team=team, name="Fast", criteria=Criteria(objective=Objective.LATENCY))


def test_a_members_own_default_takes_precedence(
    team: Team, owner: User, engineer: User, edge: CriteriaSet, fast: CriteriaSet
) -> None:
    set_default(team, edge, user=owner, personal=False)
    assert defaults_of(engineer, team).used == edge
    set_default(team, fast, user=engineer, personal=True)
    found = defaults_of(engineer, team)
    assert (found.used, found.team, found.member) == (fast, edge, fast)
    assert found.sentence == "Your default, Fast v1, takes precedence over the team's, Edge boxes v1."
    assert defaults_of(owner, team).used == edge
    events = AuditEvent.objects.filter(action="criteria.default_changed").order_by("sequence")
    assert [(event.actor, event.data["for"]) for event in events] == [
        (owner.email, "team"),
        (engineer.email, engineer.email),
    ]


def test_only_owners_set_the_teams(team: Team, engineer: User, viewer: User, edge: CriteriaSet) -> None:
    with pytest.raises(PermissionDenied):
        set_default(team, edge, user=engineer, personal=False)
    with pytest.raises(PermissionDenied):
        set_default(team, edge, user=viewer, personal=True)


def test_a_default_follows_a_change_and_ends_when_its_criteria_are_retired(
    team: Team, owner: User, engineer: User, edge: CriteriaSet
) -> None:
    set_default(team, edge, user=owner, personal=False)
    changed = criteria.change(edge, user=engineer, criteria=Criteria(), name="Gateways")
    assert defaults_of(engineer, team).used == changed
    with pytest.raises(CriteriaOutdated):
        set_default(team, edge, user=owner, personal=False)
    criteria.retire(changed, user=engineer)
    assert defaults_of(engineer, team).used is None
    last = AuditEvent.objects.filter(action="criteria.default_changed").order_by("-sequence").first()
    assert last is not None
    assert last.reason == "Gateways v2 was retired."


def test_another_teams_criteria_cannot_be_a_default(team: Team, owner: User, engineer: User, other_team: Team) -> None:
    theirs = CriteriaSet.objects.create(team=other_team, name="Theirs", body=Criteria().model_dump(mode="json"))
    with pytest.raises(DefaultOfAnotherTeam, match="Theirs v1 belongs to another team"):
        set_default(team, theirs, user=owner, personal=False)


def test_a_session_without_criteria_starts_with_the_default(
    engineer: User, team: Team, version: ModelVersion, dataset: DataSet, edge: CriteriaSet
) -> None:
    with pytest.raises(CriteriaMissing, match="no default is set"):
        services.session_start(user=engineer, version=version, dataset=dataset, start_anyway=True)
    set_default(team, edge, user=engineer, personal=True)
    session = services.session_start(user=engineer, version=version, dataset=dataset, start_anyway=True)
    assert (session.criteria_set, session.criteria.objective) == (edge, Objective.SIZE)
    inline = services.session_start(
        user=engineer, version=version, dataset=dataset, criteria=Criteria(), start_anyway=True
    )
    assert (inline.criteria_set, inline.criteria.objective) == (None, Objective.BALANCED)


def test_a_check_and_a_preview_judge_the_default(
    engineer: User, team: Team, version: ModelVersion, dataset: DataSet, edge: CriteriaSet
) -> None:
    api = APIClient()
    api.force_authenticate(engineer)
    rows = {"version": version.pk, "dataset": dataset.pk}
    for address in ("criteria/check", "sessions/preview"):
        assert api.post(f"/api/v1/{address}/", rows, format="json").json()["code"] == "criteria.missing"
    set_default(team, edge, user=engineer, personal=True)
    for address in ("criteria/check", "sessions/preview"):
        answer = api.post(f"/api/v1/{address}/", rows, format="json").json()
        assert answer["criteria"]["objective"] == "size", address


def test_a_default_that_overrules_the_teams_is_a_conflict_that_one_call_or_click_resolves(
    client: Client, engineer: User, owner: User, team: Team, version: ModelVersion, dataset: DataSet, edge: CriteriaSet
) -> None:
    looser = Criteria(constraints=Constraints(max_metric_drop_points=5.0, metric_limits={"macro_f1": 2.0}))
    mine = criteria.create(user=engineer, team=team, name="Mine", criteria=looser)
    set_default(team, edge, user=owner, personal=False)
    set_default(team, mine, user=engineer, personal=True)
    api = APIClient()
    api.force_authenticate(engineer)
    rows: dict[str, Any] = {"version": version.pk, "dataset": dataset.pk}
    for address in ("criteria/check", "sessions/preview"):
        answer = api.post(f"/api/v1/{address}/", rows, format="json").json()
        told = next(one for one in answer["conflicts"] if one["code"] == "defaults_differ")
        assert told["message"].startswith("Your default, Mine v1, takes precedence over the team's, Edge boxes v1.")
        assert {"objective", "constraints.max_metric_drop_points"} <= set(told["fields"])
        assert not answer["contradictory"], "it stops nothing"
    resolved = {**rows, "resolutions": ["defaults_differ/team"]}
    answer = api.post("/api/v1/criteria/check/", resolved, format="json").json()
    assert Criteria.model_validate(answer["criteria"]) == edge.criteria
    made = api.post("/api/v1/sessions/", {**resolved, "start_anyway": True}, format="json").json()
    session = OptimizationSession.objects.get(pk=made["id"])
    assert session.criteria.objective == edge.criteria.objective

    client.force_login(engineer)
    page = client.get("/sessions/new/preview/", {**rows, "criteria_set": mine.pk}).content.decode()
    assert "defaults_differ/team" in page
    named = api.post("/api/v1/sessions/preview/", {**rows, "criteria_set": edge.pk}, format="json").json()
    assert "defaults_differ" not in {one["code"] for one in named["conflicts"]}


def test_by_the_api(team: Team, owner: User, edge: CriteriaSet, fast: CriteriaSet) -> None:
    api = APIClient()
    api.force_authenticate(owner)
    empty = api.get(DEFAULTS).json()
    assert empty == {"team": None, "member": None, "used": None, "sentence": ""}
    answer = api.patch(DEFAULTS, {"team_default": edge.pk, "member_default": fast.pk}, format="json").json()
    assert (answer["used"]["name"], answer["team"]["name"]) == ("Fast", "Edge boxes")
    answer = api.patch(DEFAULTS, {"member_default": None}, format="json").json()
    assert (answer["used"]["name"], answer["member"]) == ("Edge boxes", None)
    assert api.patch(DEFAULTS, {"team_default": 10**9}, format="json").status_code == 404


def test_a_name_is_text_on_the_start_page(client: Client, team: Team, engineer: User) -> None:
    hostile = criteria.create(user=engineer, team=team, name="<script>alert(1)</script>", criteria=Criteria())
    set_default(team, hostile, user=engineer, personal=True)
    client.force_login(engineer)
    assert "<script>alert" not in client.get("/sessions/new/").content.decode()


def test_on_the_pages(client: Client, team: Team, owner: User, edge: CriteriaSet) -> None:
    client.force_login(owner)
    page = client.get(f"/criteria/{edge.pk}/").content.decode()
    assert "Neither you nor your team has a default." in page
    done = client.post(f"/criteria/{edge.pk}/default/", {"for": "team"}, follow=True).content.decode()
    assert "The team&#x27;s default is Edge boxes v1." in done
    assert "Remove as the team's default" in done
    asked = client.get("/sessions/new/").content.decode()
    assert f'<option value="{edge.pk}" selected' in asked
    assert "The team&#x27;s default is Edge boxes v1." in asked
    client.post(f"/criteria/{edge.pk}/default/", {"for": "team", "remove": "1"})
    assert defaults_of(owner, team).used is None


def test_a_viewer_sees_defaults_and_cannot_set_them(client: Client, viewer: User, edge: CriteriaSet) -> None:
    client.force_login(viewer)
    page = client.get(f"/criteria/{edge.pk}/").content.decode()
    assert "Make it" not in page
    assert client.post(f"/criteria/{edge.pk}/default/", {"for": "me"}).status_code == 403
    assert not OptimizationSession.objects.exists()
