"""What sessions rest on cannot be deleted."""

from __future__ import annotations

import pytest

from apps.accounts.models import User
from apps.models import services
from apps.models.errors import DataSetInUse, ModelInUse, VersionInUse
from apps.models.models import DataSet, ModelVersion
from apps.optimization.models import OptimizationSession

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def session(version: ModelVersion, dataset: DataSet) -> OptimizationSession:
    return OptimizationSession.objects.create(
        team=version.model.team, version=version, dataset=dataset, criteria_body={}
    )


def test_the_data_set_of_a_session_stays(dataset: DataSet, engineer: User):
    with pytest.raises(DataSetInUse) as refusal:
        services.delete_dataset(dataset, engineer)
    assert refusal.value.code == "dataset.in_use"


def test_the_version_of_a_session_stays(version: ModelVersion, engineer: User):
    with pytest.raises(VersionInUse) as refusal:
        services.delete_version(version, engineer)
    assert "session" in refusal.value.message


def test_the_model_of_a_session_stays(version: ModelVersion, engineer: User):
    with pytest.raises(ModelInUse) as refusal:
        services.delete_model(version.model, engineer)
    assert refusal.value.code == "model.in_use"
