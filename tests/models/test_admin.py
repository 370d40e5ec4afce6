"""The store in the admin: looked at, its limits edited."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.models.models import DataSet, ModelVersion, StoreSettings
from apps.models.storage import upload_limit_bytes

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("op@example.org", "x"))
    return client


@pytest.mark.parametrize(
    "name", ["registeredmodel", "modelversion", "alias", "dataset", "blob", "upload", "storesettings"]
)
def test_every_list_opens_and_searches(name: str, operator: Client, version: ModelVersion, dataset: DataSet):
    url = reverse(f"admin:models_{name}_changelist")
    assert operator.get(url).status_code == 200
    assert operator.get(url, {"q": "x"}).status_code == 200
    assert operator.get(reverse(f"admin:models_{name}_add")).status_code == 403


def test_files_and_versions_are_not_edited(operator: Client, version: ModelVersion):
    for url in (
        reverse("admin:models_blob_change", args=[version.blob_id]),
        reverse("admin:models_modelversion_change", args=[version.pk]),
    ):
        response = operator.get(url)
        assert response.status_code == 200
        assert 'name="_save"' not in response.content.decode()
        assert operator.post(url, {}).status_code == 403


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_upload_bytes", -1), ("max_unpacked_bytes", 0), ("upload_lifetime_hours", 0), ("default_quota_bytes", -1)],
)
def test_limits_that_would_refuse_everything_are_an_error_of_the_field(operator: Client, field: str, value: int):
    StoreSettings.current()
    answers = {"max_upload_bytes": 1000, "max_unpacked_bytes": 2000, "upload_lifetime_hours": 1, field: value}
    refused = operator.post(reverse("admin:models_storesettings_change", args=[1]), answers)
    assert list(refused.context["adminform"].form.errors) == [field]
    assert upload_limit_bytes() > 1000


def test_limits_are_effective_at_once(operator: Client):
    operator.get(reverse("admin:models_storesettings_changelist"))
    url = reverse("admin:models_storesettings_change", args=[1])
    answers = {"max_upload_bytes": 1000, "max_unpacked_bytes": 2000, "upload_lifetime_hours": 1}
    assert operator.post(url, answers).status_code == 302
    assert upload_limit_bytes() == 1000
    assert not StoreSettings.current().accept_code  # a box that is not ticked
    assert StoreSettings.objects.count() == 1
