"""A version and a data set that are ready, a session on them, and a small person who works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import Team, User
from apps.agents.contracts.criteria import Criteria
from apps.models.models import Blob, DataSet, InspectionStatus, ModelMetadata, ModelVersion, RegisteredModel
from apps.models.storage import put_stream
from apps.optimization import jobs
from apps.optimization.models import OptimizationSession, Worker
from apps.optimization.services import session_start
from tests.optimization import handlers, material


@pytest.fixture
def version(team: Team, engineer: User) -> ModelVersion:
    """A ready version of a model, as inspection leaves it. Its bytes are not in the store."""
    return make_version(team, engineer)


@pytest.fixture
def dataset(team: Team, engineer: User) -> DataSet:
    return make_dataset(team, engineer)


def make_version(team: Team, user: User, name: str = "resnet") -> ModelVersion:
    model = RegisteredModel.objects.create(team=team, name=name, created_by=user)
    blob, _ = Blob.objects.get_or_create(sha256="a" * 64, defaults={"size_bytes": material.MODEL.size_bytes})
    version = ModelVersion.objects.create(
        model=model, number=1, blob=blob, filename=f"{name}.onnx", status=InspectionStatus.READY, created_by=user
    )
    ModelMetadata.record(version, material.MODEL)
    return version


def make_dataset(team: Team, user: User, name: str = "digits") -> DataSet:
    blob, _ = Blob.objects.get_or_create(sha256="b" * 64, defaults={"size_bytes": 1000})
    return DataSet.objects.create(
        team=team,
        name=name,
        blob=blob,
        filename=f"{name}.npz",
        spec=material.DATA_SPEC.model_dump(mode="json"),
        summary=material.DATA.model_dump(mode="json"),
        status=InspectionStatus.READY,
        created_by=user,
    )


@pytest.fixture
def start(version: ModelVersion, dataset: DataSet, engineer: User) -> Callable[..., OptimizationSession]:
    """Starts a session; what a test says replaces the usual arguments."""

    def go(**changes: Any) -> OptimizationSession:
        usual = {"user": engineer, "version": version, "dataset": dataset, "criteria": Criteria(), "seed": 7}
        return session_start(**{**usual, **changes})

    return go


@pytest.fixture
def session(start: Callable[..., OptimizationSession]) -> OptimizationSession:
    return start()


@pytest.fixture
def worker(db: None) -> Worker:
    """An idle worker that can run everything."""
    return Worker.objects.create(name="shed:1", queues=["cpu"], machine=material.MACHINE.model_dump(mode="json"))


@pytest.fixture
def stored(version: ModelVersion, dataset: DataSet) -> None:
    """Puts real bytes behind the version and the data set, for tests whose children read them."""
    for row, content in ((version, material.onnx_bytes()), (dataset, b"the data")):
        row.blob = put_stream([content])
        row.save(update_fields=["blob"])


@pytest.fixture
def small_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real children that run the small handlers of `tests.optimization.handlers`."""
    monkeypatch.setattr(jobs, "HANDLERS", dict(handlers.TABLE))


@pytest.fixture
def impatient(settings: Any) -> None:
    """No test waits for a backoff."""
    settings.PIPELINE_TIMING = {"backoff_s": 0.0, "cancel_check_s": 0.05, "write_s": 0.0}
