"""The compressed size of a file: what a zip of it would hold, however its uploader has packed it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from apps.agents.files.compressed_size import compressed_bytes, compressed_share


@pytest.fixture
def half_zeros(tmp_path: Path) -> Path:
    weights = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    weights[np.abs(weights) < np.median(np.abs(weights))] = 0
    (tmp_path / "weights").write_bytes(weights.tobytes())
    return tmp_path / "weights"


def packed(file: Path, method: int) -> Path:
    target = file.with_name(f"{method}.zip")
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.write(file, "weights")
    return target


def test_it_is_what_a_zip_holds(half_zeros: Path) -> None:
    with zipfile.ZipFile(packed(half_zeros, zipfile.ZIP_DEFLATED)) as archive:
        assert compressed_bytes(half_zeros) == archive.infolist()[0].compress_size


def test_how_the_upload_was_packed_makes_no_difference(half_zeros: Path) -> None:
    shares = [compressed_share(packed(half_zeros, how)) for how in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)]
    assert shares == pytest.approx([compressed_share(half_zeros)] * 2, abs=0.005)
    assert 0.5 < shares[0] < 0.57


def test_what_does_not_compress_keeps_its_size(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(np.random.default_rng(0).bytes(10_000))
    assert compressed_bytes(tmp_path / "noise") == 10_000
