"""What tests of the assets share: an empty cache for those that look at fetching itself, and one thread for PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "assets"
    monkeypatch.setenv("LATHE_ASSETS", str(folder))
    return folder


@pytest.fixture(scope="module")
def one_torch_thread() -> Iterator[None]:
    """More threads would only wait for each other where the tests share the machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
