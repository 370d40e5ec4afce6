"""The compressed size of a file: what a zip of it would hold, however its uploader has packed it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import zstandard

from apps.agents.files.compressed_size import (
    Coding,
    compressed_bytes,
    compressed_share,
    compressed_sizes,
    read_zstandard,
    write_zstandard,
)


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
        assert compressed_sizes(half_zeros)[Coding.DEFLATE] == archive.infolist()[0].compress_size


def test_the_smaller_coding_counts(half_zeros: Path) -> None:
    shared = half_zeros.with_name("shared")
    shared.write_bytes(np.random.default_rng(0).integers(0, 16, 50_000).astype(np.float32).tobytes())
    for file in (half_zeros, shared):
        assert compressed_bytes(file) == min(compressed_sizes(file).values())
    assert compressed_sizes(shared)[Coding.ZSTANDARD] < 0.9 * compressed_sizes(shared)[Coding.DEFLATE]


def test_a_zstandard_file_has_the_size_that_counts_and_is_restored_bit_for_bit(half_zeros: Path) -> None:
    small, again = half_zeros.with_name("weights.zst"), half_zeros.with_name("again")
    assert write_zstandard(half_zeros, small).stat().st_size == compressed_sizes(half_zeros)[Coding.ZSTANDARD]
    with again.open("wb") as target:
        read_zstandard(small, target)
    assert again.read_bytes() == half_zeros.read_bytes()


def test_a_damaged_zstandard_file_is_not_restored(half_zeros: Path) -> None:
    small = write_zstandard(half_zeros, half_zeros.with_name("weights.zst"))
    content = bytearray(small.read_bytes())
    content[len(content) // 2] ^= 0xFF
    small.write_bytes(content)
    with half_zeros.with_name("again").open("wb") as target, pytest.raises(zstandard.ZstdError):
        read_zstandard(small, target)


def test_how_the_upload_was_packed_makes_no_difference(half_zeros: Path) -> None:
    shares = [compressed_share(packed(half_zeros, how)) for how in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)]
    assert shares == pytest.approx([compressed_share(half_zeros)] * 2, abs=0.005)
    assert 0.5 < shares[0] < 0.57


def test_what_does_not_compress_keeps_its_size(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(np.random.default_rng(0).bytes(10_000))
    assert compressed_bytes(tmp_path / "noise") == 10_000
