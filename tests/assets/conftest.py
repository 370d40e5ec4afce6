"""The cache of a test that looks at fetching itself: an empty folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "assets"
    monkeypatch.setenv("LATHE_ASSETS", str(folder))
    return folder
