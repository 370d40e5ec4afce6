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
from apps.agents.formats import Format
from apps.agents.reports import Task
from tests.sessions.driver import Driver, Finished, Subject, table

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
IMAGES = SAMPLES / "fashion_mnist_test.npz"
CLASSIFICATION = DatasetSpec(kind=DatasetKind.NPZ, task=Task.CLASSIFICATION)

SENSITIVITY_BUDGET_S = 8.0
"""For each of the two analyses of a PyTorch model, of which a test needs the ranking of the largest layers only."""

RunSession = Callable[..., Finished]
"""Model, data, criteria; how to read the data, for anything but classification; the format, for anything but ONNX."""
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


@pytest.fixture(scope="module")
def run_session() -> Iterator[RunSession]:
    """Drives a session to its end and prints its table, which pytest shows where a test fails.

    Artifacts stay until the module is done and no longer: those of an encoder take hundreds of megabytes.
    """
    with ExitStack() as folders:

        def run(
            model: Path,
            data: Path,
            criteria: Criteria,
            spec: DatasetSpec = CLASSIFICATION,
            format: Format = Format.ONNX,  # noqa: A002 - the contract's word
        ) -> Finished:
            folder = Path(folders.enter_context(TemporaryDirectory(prefix="lathe-session-")))
            look_s = None if format is Format.ONNX else SENSITIVITY_BUDGET_S
            finished = Driver(Subject(model, data, spec, format), criteria, folder, look_s).run()
            print(table(finished))
            return finished

        yield run
