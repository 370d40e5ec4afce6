"""What people do to the store enters the audit trail."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.audit.models import AuditEvent, AuditHead
from apps.models import services
from apps.models.errors import ModelNameTaken
from apps.models.models import DataSet, ModelVersion, StoreSettings

pytestmark = pytest.mark.django_db


def told() -> list[tuple[str, str, str]]:
    """Action, person and subject of every act."""
    return list(AuditEvent.objects.in_order().values_list("action", "actor", "subject"))


def test_every_act_is_told(make_version: Callable[..., ModelVersion], dataset: DataSet, engineer: User, owner: User):
    first, second = make_version(2), make_version(3)
    alias = services.move_alias(first.model, "production", first, engineer)
    services.move_alias(first.model, "production", second, engineer)
    services.move_alias(first.model, "production", second, engineer)  # no move
    services.undo_alias_move(alias, owner)
    services.delete_version(second, owner)
    services.delete_model(first.model, owner)
    services.delete_dataset(dataset, owner)
    emil, olga, name = engineer.email, owner.email, "Fashion classifier"
    assert [act for act in told() if act[0] != "dataset.added"] == [
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
    assert ("dataset.added", emil, "Test images") in told()


# --- what was there before and what is there now ----------------------------------------------------------------------


class Changes:
    """Action, subject and data of every act since the test began to look."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        head = AuditHead.objects.first()
        self._from = head.sequence if head else 0

    def all(self) -> list[tuple[str, str, dict]]:
        events = AuditEvent.objects.in_order().filter(sequence__gt=self._from)
        return list(events.values_list("action", "subject", "data"))


@pytest.fixture
def changes(db: None) -> Changes:
    return Changes()


def test_renames_and_descriptions_are_told_with_both_values(
    changes: Changes, make_version: Callable[..., ModelVersion], dataset: DataSet, engineer: User
):
    version = make_version(2)
    changes.clear()
    services.describe_model(version.model, engineer, name="Fashion", description="By season", tags=["b", "a"])
    services.describe_version(version, engineer, description="Retrained")
    services.describe_dataset(dataset, engineer, name="Photos")
    assert changes.all() == [
        (
            "model.described",
            "Fashion",
            {
                "name": ["Fashion classifier", "Fashion"],
                "description": ["A small one", "By season"],
                "tags": [["cnn", "vision"], ["a", "b"]],
            },
        ),
        ("version.described", "Fashion v1", {"description": ["", "Retrained"]}),
        ("dataset.described", "Photos", {"name": ["Test images", "Photos"]}),
    ]


def test_what_stays_the_same_is_not_told(
    changes: Changes, make_version: Callable[..., ModelVersion], dataset: DataSet, engineer: User
):
    version = make_version(2)
    changes.clear()
    services.describe_model(version.model, engineer, name=version.model.name, tags=["vision", "CNN"])
    services.describe_version(version, engineer, description="")
    services.describe_dataset(dataset, engineer, name=dataset.name, description=dataset.description)
    assert changes.all() == []


def test_a_rename_that_is_refused_is_not_told(
    changes: Changes, make_version: Callable[..., ModelVersion], engineer: User
):
    model = make_version(2).model
    services.register_model(model.team, engineer, "Taken")
    changes.clear()
    with pytest.raises(ModelNameTaken):
        services.describe_model(model, engineer, name="Taken")
    assert changes.all() == []


@pytest.mark.parametrize(
    ("field", "value", "before", "after"),
    [("accept_code", "", True, False), ("max_upload_bytes", "1000", 8 * 1024**3, 1000)],
)
def test_the_settings_of_the_store_are_told_with_both_values(
    changes: Changes, client: Client, field: str, value: str, before: object, after: object
):
    client.force_login(User.objects.create_superuser("op@example.org", "x"))
    row = StoreSettings.current()
    names = [one.name for one in row._meta.fields if one.editable and one.name != "id"]
    answers = {name: "" if getattr(row, name) is None else getattr(row, name) for name in names}
    answers["accept_code"] = "on"
    address = reverse("admin:models_storesettings_change", args=[row.pk])
    assert client.post(address, {**answers, field: value}).status_code == 302
    assert changes.all() == [("store.settings_changed", "Store settings", {field: [before, after]})]


def test_what_an_operator_writes_of_a_model_or_data_set_is_told(
    changes: Changes, client: Client, make_version: Callable[..., ModelVersion], dataset: DataSet
):
    model = make_version(2).model
    client.force_login(User.objects.create_superuser("op@example.org", "x"))
    changes.clear()
    inlines = {f"{prefix}-{count}_FORMS": 0 for prefix in ("aliases", "versions") for count in ("TOTAL", "INITIAL")}
    answers = {"name": "Fashion", "description": model.description, "tags": '["cnn", "vision"]', **inlines}
    assert client.post(reverse("admin:models_registeredmodel_change", args=[model.pk]), answers).status_code == 302
    answers = {"name": "Photos", "description": dataset.description}
    assert client.post(reverse("admin:models_dataset_change", args=[dataset.pk]), answers).status_code == 302
    assert changes.all() == [
        ("model.described", "Fashion", {"name": ["Fashion classifier", "Fashion"]}),
        ("dataset.described", "Photos", {"name": ["Test images", "Photos"]}),
    ]
