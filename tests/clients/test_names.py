"""Names mean what is the team's own: of two teams that use the same one, none is taken by chance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.accounts.models import Membership, Role, Team, User
from apps.agents.contracts.criteria import Criteria
from apps.models.models import Blob, DataSet, InspectionStatus, RegisteredModel
from apps.optimization.models import CriteriaSet
from lathe_client import Lathe, LatheError
from lathe_client.store import Store
from tests.clients.in_process import portal_as

pytestmark = pytest.mark.portable
NAME = "Gateways"


@pytest.fixture
def lathe(engineer: User, other_team: Team) -> Iterator[Lathe]:
    """The portal as somebody sees it who belongs to both teams."""
    Membership.objects.create(team=other_team, user=engineer, role=Role.ENGINEER)
    with portal_as(engineer) as portal:
        yield portal


def criteria(team: Team | None) -> CriteriaSet:
    return CriteriaSet.objects.create(team=team, name=NAME, body=Criteria().model_dump(mode="json"))


def dataset(team: Team) -> DataSet:
    blob, _ = Blob.objects.get_or_create(sha256="a" * 64, size_bytes=1)
    spec = {"kind": "npz", "task": "classification"}
    return DataSet.objects.create(team=team, name=NAME, blob=blob, spec=spec, status=InspectionStatus.READY)


def test_criteria_are_those_of_the_named_team(lathe: Lathe, team: Team, other_team: Team) -> None:
    built_in, theirs, own = criteria(None), criteria(other_team), criteria(team)

    def found(slug: str | None) -> int:
        return int(Store(lathe, team=slug).criteria(NAME)["criteria_set"])

    assert (found(team.slug), found(other_team.slug)) == (own.pk, theirs.pk)
    with pytest.raises(LatheError, match=rf"called “{NAME}”. Give --team: speech, vision"):
        found(None)
    theirs.delete()
    assert found(None) == own.pk, "the own ones come before the built-in ones"
    assert found(other_team.slug) == built_in.pk
    own.delete()
    assert found(team.slug) == built_in.pk
    built_in.delete()
    with pytest.raises(LatheError, match=f"There are no criteria called “{NAME}”"):
        found(team.slug)


def test_a_model_is_that_of_the_named_team(lathe: Lathe, team: Team, other_team: Team) -> None:
    own, theirs = (RegisteredModel.objects.create(team=one, name=NAME) for one in (team, other_team))
    assert Store(lathe, team=team.slug).model(NAME)["id"] == own.pk
    assert Store(lathe, team=other_team.slug).model(NAME)["id"] == theirs.pk
    for reference in (f"{NAME}@production", f"{NAME}#1"):
        with pytest.raises(LatheError, match="Give --team: speech, vision"):
            Store(lathe).version(reference)
    theirs.delete()
    assert Store(lathe).model(NAME)["id"] == own.pk


def test_a_data_set_is_that_of_the_named_team(lathe: Lathe, team: Team, other_team: Team, tmp_path: Path) -> None:
    own, theirs = dataset(team), dataset(other_team)
    assert Store(lathe, team=team.slug).dataset(NAME)["id"] == own.pk
    assert Store(lathe, team=other_team.slug).dataset(NAME)["id"] == theirs.pk
    (tmp_path / "test.npz").write_bytes(b"new")
    for reference in (NAME, str(tmp_path / "test.npz")):
        with pytest.raises(LatheError, match="Give --team: speech, vision"):
            Store(lathe).dataset(reference, name=NAME)
