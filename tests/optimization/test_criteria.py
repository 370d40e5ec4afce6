"""Named criteria: versions that only grow, and who may make them."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied

from apps.accounts.models import Team, User
from apps.agents.contracts.criteria import PROFILES, Constraints, Criteria, Objective, merged
from apps.audit.models import AuditEvent
from apps.optimization import criteria
from apps.optimization.errors.criteria import CriteriaBuiltIn, CriteriaInvalid, CriteriaNameTaken, CriteriaOutdated
from apps.optimization.models import CriteriaSet

pytestmark = pytest.mark.django_db


@pytest.fixture
def edge(team: Team, engineer: User) -> CriteriaSet:
    return criteria.create(user=engineer, team=team, name=" Edge  boxes ", criteria=Criteria())


def test_every_installation_starts_with_the_profiles(viewer: User) -> None:
    built_in = CriteriaSet.objects.visible_to(viewer).current().filter(team=None)
    assert {row.name: row.criteria for row in built_in} == PROFILES
    assert all(row.description for row in built_in)


def test_a_change_is_a_new_version_and_the_old_one_stays(edge: CriteriaSet, engineer: User) -> None:
    smaller = {"objective": "size"}
    changed = criteria.change(edge, user=engineer, criteria=smaller, description="Smaller now")
    edge.refresh_from_db()
    assert (edge.name, edge.version, edge.current) == ("Edge boxes", 1, False)
    assert (changed.name, changed.version, changed.current) == ("Edge boxes", 2, True)
    assert (edge.criteria.objective, changed.criteria.objective) == (Objective.BALANCED, Objective.SIZE)
    event = AuditEvent.objects.get(action="criteria.edited")
    assert (event.data["before"]["objective"], event.data["after"]["objective"]) == ("balanced", "size")


def test_of_two_changes_at_once_the_second_finds_its_version_outdated(edge: CriteriaSet, engineer: User) -> None:
    criteria.change(edge, user=engineer, criteria=Criteria())
    with pytest.raises(CriteriaOutdated, match="version 1 is no longer the newest"):
        criteria.change(edge, user=engineer, criteria=Criteria())


def test_a_name_is_taken_once_in_a_team_and_free_again_when_retired(
    edge: CriteriaSet, team: Team, engineer: User
) -> None:
    with pytest.raises(CriteriaNameTaken) as taken:
        criteria.create(user=engineer, team=team, name="Edge boxes", criteria=Criteria())
    assert taken.value.field == "name"
    criteria.retire(edge, user=engineer)
    assert criteria.create(user=engineer, team=team, name="Edge boxes", criteria=Criteria()).version == 2


def test_renaming_goes_on_with_the_version(edge: CriteriaSet, engineer: User) -> None:
    renamed = criteria.change(edge, user=engineer, criteria=Criteria(), name="Gateways")
    assert (renamed.name, renamed.version) == ("Gateways", 2)


@pytest.mark.parametrize("name", ["", "   ", "x" * 81])
def test_a_name_has_a_length(team: Team, engineer: User, name: str) -> None:
    with pytest.raises(CriteriaInvalid) as error:
        criteria.create(user=engineer, team=team, name=name, criteria=Criteria())
    assert error.value.field == "name"


def test_only_engineers_make_and_change_criteria(edge: CriteriaSet, team: Team, viewer: User, stranger: User) -> None:
    for somebody in (viewer, stranger):
        with pytest.raises(PermissionDenied):
            criteria.create(user=somebody, team=team, name="Mine", criteria=Criteria())
        with pytest.raises(PermissionDenied):
            criteria.change(edge, user=somebody, criteria=Criteria())
        with pytest.raises(PermissionDenied):
            criteria.retire(edge, user=somebody)


def test_profiles_are_edited_by_operators_in_the_admin_only(owner: User) -> None:
    profile = CriteriaSet.objects.current().get(team=None, name="safest")
    with pytest.raises(CriteriaBuiltIn):
        criteria.change(profile, user=owner, criteria=Criteria())
    with pytest.raises(CriteriaBuiltIn):
        criteria.create(user=owner, team=None, name="wildest", criteria=Criteria())
    with pytest.raises(CriteriaBuiltIn):
        criteria.change(profile, user=owner, criteria=Criteria(), as_operator=True)
    owner.is_staff = True
    assert criteria.change(profile, user=owner, criteria=Criteria(), as_operator=True).version == 2


def test_a_stranger_sees_the_profiles_and_not_the_teams_own(edge: CriteriaSet, stranger: User) -> None:
    assert edge not in CriteriaSet.objects.visible_to(stranger)
    assert CriteriaSet.objects.visible_to(stranger).exists()


def test_overrides_keep_what_they_do_not_name() -> None:
    body = Criteria(constraints=Constraints(max_metric_drop_points=0.5, min_speedup=2)).model_dump(mode="json")
    both = criteria.parse(merged(body, {"constraints": {"min_speedup": 3}, "confidence": 0.9}))
    assert both.constraints == Constraints(max_metric_drop_points=0.5, min_speedup=3)
    assert both.confidence == 0.9


def test_the_row_of_a_problem_is_its_path() -> None:
    with pytest.raises(CriteriaInvalid) as error:
        criteria.parse({"constraints": {"max_latency_ms": -1}, "forbidden_techniques": ["magic"], "nonsense": 1})
    assert {problem["field"] for problem in error.value.problems} == {"constraints.max_latency_ms", "nonsense"}
    with pytest.raises(CriteriaInvalid) as error:
        criteria.parse({"forbidden_techniques": ["magic"]})
    assert error.value.problems[0]["code"] == "unknown_technique"
