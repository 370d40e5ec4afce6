from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from apps.agents.contracts.errors.archives import (
    ArchiveBomb,
    ArchiveCompression,
    ArchiveDamaged,
    ArchiveDuplicate,
    ArchiveEncrypted,
    ArchiveLink,
    ArchivePathEscape,
)
from apps.agents.files.archives import Limits, contents, unpack
from apps.errors import UserError


def _archive(
    path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def _refused(archive: Path, target: Path, error: type[UserError], limits: Limits | None = None) -> UserError:
    """Unpacking raises `error`, and not a byte was written."""
    with pytest.raises(error) as caught:
        unpack(archive, target, limits)
    assert not target.exists() or not list(target.rglob("*"))
    return caught.value


def test_files_and_folders_come_out_as_they_went_in(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "a.zip", ("model.onnx", b"graph"), ("data/", b""), ("data/w.bin", b"\x00" * 9))
    written = unpack(archive, tmp_path / "out")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in written] == ["model.onnx", "data/w.bin"]
    assert (tmp_path / "out/data/w.bin").read_bytes() == b"\x00" * 9


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/passwd", "..\\evil", "C:\\evil", "C:evil", "\\\\host\\share\\evil"]
)
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    error = _refused(_archive(tmp_path / "a.zip", ("ok", b"1"), (name, b"1")), tmp_path / "out", ArchivePathEscape)
    assert error.code == "archive.path_escape"
    assert not (tmp_path / "evil").exists()


def test_a_name_with_a_zero_byte_is_refused(tmp_path: Path) -> None:
    path = _archive(tmp_path / "a.zip", ("ok_evil", b"1"))
    path.write_bytes(path.read_bytes().replace(b"ok_evil", b"ok\x00evil"))
    _refused(path, tmp_path / "out", ArchivePathEscape)


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o600, stat.S_IFIFO | 0o600])
def test_links_and_devices_are_refused(tmp_path: Path, mode: int) -> None:
    info = zipfile.ZipInfo("weights.bin")
    info.external_attr = mode << 16
    _refused(_archive(tmp_path / "a.zip", (info, b"/etc/passwd")), tmp_path / "out", ArchiveLink)


def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "a.zip", ("zeros", bytes(4_000_000)))
    error = _refused(archive, tmp_path / "out", ArchiveBomb, Limits(ratio_from_bytes=1_000_000))
    assert "times its size" in error.message
    assert unpack(archive, tmp_path / "small", Limits(ratio_from_bytes=8_000_000))


def test_a_bomb_is_refused_by_its_total_and_by_its_entries(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "a.zip", ("a", bytes(600)), ("b", bytes(600)))
    _refused(archive, tmp_path / "out", ArchiveBomb, Limits(total_bytes=1000))
    _refused(archive, tmp_path / "out", ArchiveBomb, Limits(entries=1))


def test_an_entry_larger_than_it_claims_is_cut_and_found_out(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "a.zip", ("first", b"1"), ("weights", b"x" * 5000), compression=zipfile.ZIP_STORED)
    content = archive.read_bytes()
    assert content.count((5000).to_bytes(4, "little")) == 4
    archive.write_bytes(content.replace((5000).to_bytes(4, "little"), (50).to_bytes(4, "little")))
    _refused(archive, tmp_path / "out", ArchiveDamaged)


@pytest.mark.parametrize("names", [("a", "a"), ("a", "./a"), ("Model.onnx", "model.onnx"), ("a", "a/b"), ("a/b", "a")])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_for_one_path_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    _refused(_archive(tmp_path / "a.zip", *((name, b"1") for name in names)), tmp_path / "out", ArchiveDuplicate)


def test_an_encrypted_entry_is_refused(tmp_path: Path) -> None:
    path = _archive(tmp_path / "a.zip", ("secret", b"1"))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(content))
    _refused(path, tmp_path / "out", ArchiveEncrypted)


def test_an_unknown_compression_is_refused(tmp_path: Path) -> None:
    path = _archive(tmp_path / "a.zip", ("data", b"1"))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 10] = 93
    path.write_bytes(bytes(content))
    _refused(path, tmp_path / "out", ArchiveCompression)


def test_a_damaged_archive_leaves_nothing_behind(tmp_path: Path) -> None:
    path = _archive(tmp_path / "a.zip", ("first", b"fine"), ("second", b"y" * 3000), compression=zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[content.index(b"yyyy") + 100] ^= 1
    path.write_bytes(bytes(content))
    _refused(path, tmp_path / "out", ArchiveDamaged)


def test_every_truncation_of_an_archive_is_refused_with_a_code(tmp_path: Path) -> None:
    content = _archive(tmp_path / "a.zip", ("model.onnx", b"graph" * 30), ("w/x", b"12")).read_bytes()
    broken = tmp_path / "broken.zip"
    for length in range(4, len(content), 7):
        broken.write_bytes(content[:length])
        with pytest.raises(UserError):
            contents(broken)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_entry_whose_compressed_bytes_are_broken_is_damage(tmp_path: Path, compression: int) -> None:
    path = _archive(tmp_path / "a.zip", ("w.bin", bytes(range(256)) * 20), compression=compression)
    content = bytearray(path.read_bytes())
    content[35:75] = b"\xff" * 40
    path.write_bytes(content)
    _refused(path, tmp_path / "out", ArchiveDamaged)


@pytest.mark.parametrize("name", ["a" * 300, "é" * 200, "a/" * 800 + "b"])
def test_a_name_that_no_file_system_takes_is_refused(tmp_path: Path, name: str) -> None:
    _refused(_archive(tmp_path / "a.zip", (name, b"1")), tmp_path / "out", ArchiveDamaged)
