"""What people do to the store is told to whoever keeps the books."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apps.accounts import journal
from apps.accounts.models import User
from apps.models import services
from apps.models.models import DataSet, ModelVersion

pytestmark = pytest.mark.django_db


@pytest.fixture
def told(monkeypatch) -> list[tuple[str, str, str]]:
    """Action, person and subject of every act."""
    acts: list[tuple[str, str, str]] = []
    monkeypatch.setattr(
        journal, "_keepers", [lambda action, actor, subject, **_: acts.append((action, actor.email, subject))]
    )
    return acts


def test_every_act_is_told(
    told: list, make_version: Callable[..., ModelVersion], dataset: DataSet, engineer: User, owner: User
):
    first, second = make_version(2), make_version(3)
    alias = services.move_alias(first.model, "production", first, engineer)
    services.move_alias(first.model, "production", second, engineer)
    services.move_alias(first.model, "production", second, engineer)  # no move
    services.undo_alias_move(alias, owner)
    services.delete_version(second, owner)
    services.delete_model(first.model, owner)
    services.delete_dataset(dataset, owner)
    emil, olga, name = engineer.email, owner.email, "Fashion classifier"
    assert [act for act in told if act[0] != "dataset.added"] == [
        ("model.registered", emil, name),
        ("version.added", emil, f"{name} v1"),
        ("version.added", emil, f"{name} v2"),
        ("alias.moved", emil, f"{name}: production"),
        ("alias.moved", emil, f"{name}: production"),
        ("alias.moved_back", olga, f"{name}: production"),
        ("version.deleted", olga, f"{name} v2"),
        ("model.deleted", olga, name),
        ("dataset.deleted", olga, "Test images"),
    ]
    assert ("dataset.added", emil, "Test images") in told
