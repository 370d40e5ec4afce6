"""TensorFlow for tests: quiet, on the CPU, and never beside PyTorch. `pytest tests/tensorflow` runs them, nothing else.

TensorFlow reads its environment when it is imported, so this stands before every import of it; a run that does not name
this folder collects none of it and keeps its environment.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "TF_NUM_INTRAOP_THREADS": "1"}


def _is_named(config: pytest.Config) -> bool:
    named = ((config.invocation_params.dir / str(given).partition("::")[0]).resolve() for given in config.args)
    return any(path == HERE or HERE in path.parents for path in named)


def pytest_configure(config: pytest.Config) -> None:
    if _is_named(config):
        os.environ.update(ENVIRONMENT)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return None if _is_named(config) else True


@pytest.fixture
def mark(tmp_path: Path) -> object:
    """A file that must not be there in the end."""
    yield tmp_path / "mark"
    assert not (tmp_path / "mark").exists()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples' pictures as an npz."""
    from tests.tensorflow.keras_lessons import write_pictures

    return write_pictures(tmp_path_factory.mktemp("data") / "images.npz")


@pytest.fixture(scope="session")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Keras network that has learned them."""
    from tests.tensorflow.keras_lessons import write_trained

    return write_trained(tmp_path_factory.mktemp("model") / "model.keras", data)
