"""What sessions on samples share: the data, and short ways to say what one is about."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from django.conf import settings
from django.core.files.storage import default_storage
from django.core.management import call_command

from apps.accounts.models import Membership, Role, Team, User
from apps.agents.contracts.criteria import PROFILES, Budget, Criteria
from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.dataset import Task
from apps.models.models import Blob
from apps.optimization import workers
from tests.door import shorter_sensitivity
from tests.sessions.driver import Finished, drive, table

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
IMAGES = SAMPLES / "fashion_mnist_test.npz"
CLASSIFICATION = DatasetSpec(kind=DatasetKind.NPZ, task=Task.CLASSIFICATION)

SENSITIVITY_BUDGET_S = 8.0
"""For each of the two analyses of a PyTorch model, of which a test needs the ranking of the largest layers only."""

TIMING_S = 6
"""For each candidate: several processes with enough rounds that a speed-up as large as these is beyond doubt."""

BRIEF_TIMING_S = 1
"""For each candidate of a session whose goal is size, and of whose speed nothing is asked."""

RunSession = Callable[..., Finished]
"""Model, data, criteria; how to read the data, for anything but classification; the format, for anything but ONNX; how
long each candidate is timed."""
FirstImages = Callable[[int], Path]


def profile(name: str, *, candidates: int, minutes: float = 4.0) -> Criteria:
    """A built-in profile with a budget that fits a test; timing gets a quarter of what each candidate may take."""
    return PROFILES[name].model_copy(update={"budget": Budget(minutes=minutes, candidates=candidates)})


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> FirstImages:
    """Gives a data set of the first so many of the samples' images: the fewest that prove what a test asks."""
    data, folder = np.load(IMAGES), tmp_path_factory.mktemp("images")

    def first(count: int) -> Path:
        path = folder / f"{count}.npz"
        if not path.exists():
            np.savez_compressed(path, image=data["image"][:count], y=data["y"][:count])
        return path

    return first


def allowing(criteria: Criteria, *techniques: str) -> Criteria:
    """The same with nothing but these techniques."""
    return criteria.model_copy(update={"allowed_techniques": techniques})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that looks at a session needs the database that its module's session ran on."""
    for item in items:
        if "run_session" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.django_db(transaction=True))


@contextmanager
def engineer() -> Iterator[User]:
    """A member who may upload and start, and a worker that lives; rows and files go at the end."""
    user = User.objects.create_user("sina@example.org", "correct horse battery")
    team = Team.objects.create(name="Sessions", slug="sessions")
    Membership.objects.create(team=team, user=user, role=Role.ENGINEER, may_upload_code=True)
    workers.report(["cpu"])
    try:
        yield user
    finally:
        for blob in Blob.objects.all():
            default_storage.delete(blob.storage_name)
        call_command("flush", interactive=False, verbosity=0)


@pytest.fixture(scope="module")
def run_session(django_db_setup: None, django_db_blocker: Any) -> Iterator[RunSession]:
    """Drives a session to its end and prints its table, which pytest shows where a test fails.

    Artifacts stay until the module is done and no longer: those of an encoder take hundreds of megabytes.
    """
    with ExitStack() as folders, pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "PIPELINE_TIMING", {"backoff_s": 0.0, "cancel_check_s": 0.05}, raising=False)

        def run(
            model: Path,
            data: Path,
            criteria: Criteria,
            spec: DatasetSpec = CLASSIFICATION,
            format: Format = Format.ONNX,  # noqa: A002 - the contract's word
            timing_s: int = TIMING_S,
        ) -> Finished:
            patch.setattr(settings, "LATHE", dataclasses.replace(settings.LATHE, timing_s=timing_s))
            folder = Path(folders.enter_context(TemporaryDirectory(prefix="lathe-session-")))
            sensitivity = nullcontext() if format is Format.ONNX else shorter_sensitivity(SENSITIVITY_BUDGET_S)
            with django_db_blocker.unblock(), engineer() as user, sensitivity:
                finished = drive(user, model, data, spec, criteria, folder)
            print(table(finished))
            assert finished.state.model.format == format
            return finished

        yield run
