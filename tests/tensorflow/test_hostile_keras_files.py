"""Keras files whose HDF5 or archive leads elsewhere, exhausts memory or is damaged: all are refused."""

from __future__ import annotations

import json
import random
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from apps.agents.backends.tensorflow import keras_file
from apps.agents.backends.tensorflow.inspection import inspect
from apps.agents.backends.tensorflow.opening import open_model
from apps.agents.contracts.errors.archives import ArchiveBomb, ArchiveDuplicate, ArchiveLink, ArchivePathEscape
from apps.agents.contracts.errors.models import ModelTooLarge
from apps.agents.contracts.errors.tensorflow_models import Hdf5Unsafe, KerasDamaged, KerasLambda
from apps.agents.files.archives import Limits
from apps.errors import UserError
from tests.tensorflow.hostile_keras import Config, altered, dense, honest, packed, plain, weights_changed

# --- HDF5 -------------------------------------------------------------------------------------------------------------


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource("/elsewhere.h5", "numbers", shape=(4,))
    file.create_virtual_dataset("sly", layout)


def deep(file: Any) -> None:
    group = file
    for _ in range(300):
        group = group.create_group("g")


HDF5: dict[str, Callable[[Any], object]] = {
    "an external link": lambda file: file.__setitem__("sly", h5py.ExternalLink("/elsewhere.h5", "/numbers")),
    "a soft link": lambda file: file.__setitem__("sly", h5py.SoftLink("/numbers")),
    "a dangling link far below": lambda file: file.__setitem__("a/b/c/sly", h5py.SoftLink("/nothing")),
    "numbers in another file": lambda file: file.create_dataset("sly", (4,), "f4", external=[("/etc/passwd", 0, 16)]),
    "a virtual data set": virtual,
    "text in place of numbers": lambda file: file.create_dataset("sly", data=["a"], dtype=h5py.string_dtype()),
    "references in place of numbers": lambda file: file.create_dataset("sly", (1,), dtype=h5py.ref_dtype),
    "groups without end": deep,
    "numbers that are not there": lambda file: file.create_dataset("sly", (1 << 28,), "f4", chunks=(1 << 20,)),
}


@pytest.mark.parametrize("attack", HDF5)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_weights_that_point_elsewhere_are_refused(attack: str, suffix: str, tmp_path: Path) -> None:
    path = weights_changed(honest(tmp_path / f"model{suffix}"), HDF5[attack])
    with pytest.raises(Hdf5Unsafe):
        inspect(path, tmp_path)


def test_the_group_of_weights_itself_may_not_be_a_link(tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file.create_dataset("secret", data=np.ones(3))

    def link(file: Any) -> None:
        del file["model_weights"]
        file["model_weights"] = h5py.ExternalLink(str(other), "/")

    with pytest.raises(Hdf5Unsafe, match="model_weights"):
        inspect(weights_changed(honest(tmp_path / "model.h5"), link), tmp_path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_circle_of_groups_is_walked_once(suffix: str, tmp_path: Path) -> None:
    def circle(file: Any) -> None:
        file.create_group("a/b")
        file["a/b/again"] = file["a"]
        file["a/b/root"] = file["/"]

    assert inspect(weights_changed(honest(tmp_path / f"model{suffix}"), circle), tmp_path).parameters == 10


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_absurd_sizes_are_refused_before_anything_is_read(suffix: str, tmp_path: Path) -> None:
    def declare(file: Any) -> None:
        file.create_dataset("sly", (1 << 50,), "f8", chunks=(1 << 20,))

    with pytest.raises(ModelTooLarge):
        inspect(weights_changed(honest(tmp_path / f"model{suffix}"), declare), tmp_path)


@pytest.mark.parametrize(
    ("limit", "value"),
    [("MOST_OF_ATTRIBUTES_BYTES", np.bytes_(b"a" * 2000)), ("MOST_OF_LISTED_BYTES", np.array(["a"] * 9, object))],
)
def test_attributes_are_limited_before_they_are_read(
    limit: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = weights_changed(honest(tmp_path / "model.h5"), lambda file: file.create_group("a").attrs.update(sly=value))
    assert inspect(path, tmp_path).parameters == 10
    monkeypatch.setattr(keras_file, limit, 1000)
    with pytest.raises(Hdf5Unsafe, match="attribute"):
        inspect(path, tmp_path)


@pytest.mark.parametrize("layer", [{"units": 1 << 32}, {"units": 1 << 44}])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_configuration_does_not_ask_for_more_memory_than_its_weights_fill(
    layer: Config, suffix: str, tmp_path: Path
) -> None:
    path = altered(honest(tmp_path / f"model{suffix}"), lambda config: dense(config)["config"].update(layer))
    with pytest.raises(ModelTooLarge):
        inspect(path, tmp_path)


# --- archives and damage ----------------------------------------------------------------------------------------------


def added(path: Path, name: str, content: bytes = b"", mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, content)
    return path


@pytest.mark.parametrize(
    ("name", "mode", "error"),
    [
        ("../mark", 0, ArchivePathEscape),
        ("/etc/mark", 0, ArchivePathEscape),
        ("assets/../../mark", 0, ArchivePathEscape),
        ("assets/layer", 0o120777, ArchiveLink),
        ("./config.json", 0, ArchiveDuplicate),
        ("CONFIG.json", 0, ArchiveDuplicate),
    ],
)
def test_an_archive_that_escapes_is_refused(
    name: str, mode: int, error: type[UserError], tmp_path: Path, mark: Path
) -> None:
    with pytest.raises(error):
        inspect(added(honest(tmp_path / "model.keras"), name, b"/etc/passwd", mode), tmp_path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    parts = {"config.json": b"{}", "model.weights.h5": bytes(100 << 20)}
    with pytest.raises(ArchiveBomb):
        inspect(packed(tmp_path / "model.keras", parts, zipfile.ZIP_DEFLATED), tmp_path)
    with pytest.raises(ArchiveBomb):
        open_model(honest(tmp_path / "small.keras"), tmp_path, Limits(total_bytes=1000))


BAD_CONFIGURATIONS = {
    "not valid JSON": b"{",
    "no object": b"[]",
    "no text": b"\xff\xfe\x00",
    "deep lists": b"[" * 200_000,
    "deep objects": b'{"config":' * 100_000 + b"1" + b"}" * 100_000,
    "a number without end": b'{"a": ' + b"9" * 10_000 + b"}",
    "too long": b'{"a": "' + b"a" * (33 << 20) + b'"}',
}


@pytest.mark.parametrize("what", BAD_CONFIGURATIONS)
@pytest.mark.parametrize("part", ["config.json", "metadata.json"])
def test_a_configuration_that_cannot_be_read_is_refused(what: str, part: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(honest(tmp_path / "model.keras")) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    path = packed(tmp_path / "bad.keras", {**parts, part: BAD_CONFIGURATIONS[what]})
    with pytest.raises(KerasDamaged):
        inspect(path, tmp_path)


@pytest.mark.parametrize("config", [{}, {"class_name": []}, {"class_name": "Sequential"}, {"config": None}])
def test_a_configuration_of_no_model_is_refused(config: Config, tmp_path: Path) -> None:
    with zipfile.ZipFile(honest(tmp_path / "model.keras")) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    path = packed(tmp_path / "bad.keras", {**parts, "config.json": json.dumps(config).encode()})
    with pytest.raises(UserError):
        inspect(path, tmp_path)


def test_weights_alone_are_refused(tmp_path: Path) -> None:
    plain().save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(KerasDamaged, match="only weights"):
        inspect(tmp_path / "model.weights.h5", tmp_path)


@pytest.mark.parametrize("missing", ["config.json"])
def test_an_archive_that_lacks_a_part_is_refused(missing: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(honest(tmp_path / "model.keras")) as archive:
        parts = {name: archive.read(name) for name in archive.namelist() if name != missing}
    with pytest.raises(KerasDamaged, match=missing):
        inspect(packed(tmp_path / "bad.keras", parts), tmp_path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_file_cut_off_anywhere_is_refused(suffix: str, tmp_path: Path) -> None:
    content = honest(tmp_path / f"model{suffix}").read_bytes()
    cut = tmp_path / "cut"
    for length in range(16, len(content) - 64, len(content) // 60):
        cut.write_bytes(content[:length])
        with pytest.raises(UserError):
            inspect(cut, tmp_path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_flipped_bytes_never_raise_anything_but_refusals(suffix: str, tmp_path: Path) -> None:
    content, chance, refused = honest(tmp_path / f"model{suffix}").read_bytes(), random.Random(0), 0
    damaged = tmp_path / "damaged"
    for _ in range(250):
        flipped = bytearray(content)
        for _ in range(chance.choice((1, 4, 16))):
            flipped[chance.randrange(8, len(flipped))] = chance.choice((0, 1, 127, 128, 255))
        damaged.write_bytes(flipped)
        try:
            inspect(damaged, tmp_path)
        except UserError:
            refused += 1
    assert refused > 30


def test_reading_takes_little_memory(tmp_path: Path) -> None:
    """A configuration at the limit is read and judged in bounded memory."""
    with zipfile.ZipFile(honest(tmp_path / "model.keras")) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    lists = b'{"class_name": "Lambda", "config": [' + b"[]," * (1 << 20) + b"[]]}"
    path = packed(tmp_path / "wide.keras", {**parts, "config.json": lists})
    tracemalloc.start()
    try:
        with pytest.raises(KerasLambda):
            open_model(path, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()
