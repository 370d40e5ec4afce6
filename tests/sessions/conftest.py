"""What sessions on samples share: the data, and short ways to say what one is about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from apps.agents.criteria import PROFILES, Budget, Criteria
from apps.agents.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.reports import Task
from tests.sessions.driver import Driver, Finished, Subject, table

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
IMAGES = SAMPLES / "fashion_mnist_test.npz"
CLASSIFICATION = DatasetSpec(kind=DatasetKind.NPZ, task=Task.CLASSIFICATION)

RunSession = Callable[..., Finished]
"""Model, data, criteria and, for anything but classification, how to read the data."""
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


@pytest.fixture(scope="module")
def run_session() -> Iterator[RunSession]:
    """Drives a session to its end and prints its table, which pytest shows where a test fails.

    Artifacts stay until the module is done and no longer: those of an encoder take hundreds of megabytes.
    """
    with ExitStack() as folders:

        def run(model: Path, data: Path, criteria: Criteria, spec: DatasetSpec = CLASSIFICATION) -> Finished:
            folder = Path(folders.enter_context(TemporaryDirectory(prefix="lathe-session-")))
            finished = Driver(Subject(model, data, spec), criteria, folder).run()
            print(table(finished))
            return finished

        yield run
