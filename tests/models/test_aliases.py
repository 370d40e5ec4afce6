"""Aliases: moved, moved back, with a history that only grows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.exceptions import PermissionDenied

from apps.accounts.models import Team, User
from apps.models import services
from apps.models.aliases import can_undo, move_alias, undo_alias_move
from apps.models.errors import (
    AliasMovedMeanwhile,
    AliasNameInvalid,
    NothingToUndo,
    VersionElsewhere,
    VersionNotReady,
)
from apps.models.models import AliasMove, InspectionStatus, ModelVersion

pytestmark = pytest.mark.django_db


@pytest.fixture
def versions(make_version: Callable[..., ModelVersion]) -> list[ModelVersion]:
    return [make_version(size) for size in (2, 3, 4)]


def test_moves_are_kept_with_their_reason(versions: list[ModelVersion], engineer: User):
    model = versions[0].model
    for version in versions[:2]:
        alias = move_alias(model, "production", version, engineer, f"v{version.number} is good")
    assert alias.version == versions[1]
    newest = alias.moves.first()
    assert (newest.from_version, newest.to_version, newest.moved_by) == (versions[0], versions[1], engineer)
    assert newest.reason == "v2 is good"


def test_pointing_where_it_points_already_is_no_move(versions: list[ModelVersion], engineer: User):
    for _ in range(2):
        move_alias(versions[0].model, "production", versions[0], engineer)
    assert AliasMove.objects.count() == 1


def test_undoing_goes_back_through_the_history_move_by_move(versions: list[ModelVersion], engineer: User):
    for version in versions:
        alias = move_alias(version.model, "production", version, engineer)
    assert undo_alias_move(alias, engineer).version == versions[1]
    assert undo_alias_move(alias, engineer).version == versions[0]
    assert not can_undo(alias)
    with pytest.raises(NothingToUndo) as refusal:
        undo_alias_move(alias, engineer)
    assert refusal.value.code == "alias.nothing_to_undo"
    assert alias.moves.count() == 5


def test_a_move_after_an_undo_can_be_undone_again(versions: list[ModelVersion], engineer: User):
    model = versions[0].model
    for version in versions[:2]:
        alias = move_alias(model, "production", version, engineer)
    undo_alias_move(alias, engineer)
    move_alias(model, "production", versions[2], engineer)
    assert can_undo(alias)
    assert undo_alias_move(alias, engineer).version == versions[0]


def test_a_move_from_a_version_that_is_gone_cannot_be_undone(versions: list[ModelVersion], engineer: User):
    model = versions[0].model
    for version in versions[:2]:
        alias = move_alias(model, "production", version, engineer)
    services.delete_version(versions[0], engineer)
    with pytest.raises(NothingToUndo):
        undo_alias_move(alias, engineer)


def test_only_a_ready_version_gets_an_alias(make_version: Callable[..., ModelVersion], engineer: User):
    for status in (InspectionStatus.PENDING, InspectionStatus.REFUSED):
        version = make_version(status=status)
        with pytest.raises(VersionNotReady) as refusal:
            move_alias(version.model, "production", version, engineer)
        assert refusal.value.code == "version.not_ready"


def test_a_version_of_another_model_gets_no_alias_here(version: ModelVersion, team: Team, engineer: User):
    other = services.register_model(team, engineer, "Other")
    with pytest.raises(VersionElsewhere):
        move_alias(other, "production", version, engineer)


@pytest.mark.parametrize("name", ["", "Production", "a b", "x" * 61, "prod/1"])
def test_alias_names_are_plain(version: ModelVersion, engineer: User, name: str):
    with pytest.raises(AliasNameInvalid) as refusal:
        move_alias(version.model, name, version, engineer)
    assert refusal.value.code == "alias.name_invalid"


def test_a_move_can_insist_on_where_the_alias_pointed(versions: list[ModelVersion], engineer: User):
    model = versions[0].model
    move_alias(model, "production", versions[0], engineer)
    move_alias(model, "production", versions[1], engineer, expected=versions[0])
    with pytest.raises(AliasMovedMeanwhile) as refusal:
        move_alias(model, "production", versions[2], engineer, expected=versions[0])
    assert refusal.value.code == "alias.moved_meanwhile"
    with pytest.raises(AliasMovedMeanwhile):
        move_alias(model, "candidate", versions[2], engineer, expected=versions[0])


def test_viewers_and_strangers_move_nothing(versions: list[ModelVersion], engineer: User, viewer: User, stranger: User):
    alias = move_alias(versions[0].model, "production", versions[0], engineer)
    for person in (viewer, stranger):
        with pytest.raises(PermissionDenied):
            move_alias(versions[0].model, "production", versions[1], person)
        with pytest.raises(PermissionDenied):
            undo_alias_move(alias, person)
