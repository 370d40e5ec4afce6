"""Keras files that are built honestly and then altered: what the tests on hostile ones start from."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras

from tests.tensorflow import uploads

Config = dict[str, Any]


def leaving(mark: Path) -> Any:
    """A function of tensors that leaves the mark and gives back what it was given."""
    place = str(mark)
    return lambda *given: (open(place, "w"), given[-1])[1]


def armed(model: Any, path: Path, mark: Path) -> Path:
    """The model in a file; what building it has left is taken away."""
    uploads.saved(model, path)
    mark.unlink(missing_ok=True)
    return path


def altered(path: Path, change: Callable[[Config], object]) -> Path:
    """The Keras file with its configuration changed in place."""
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            change(config)
            file.attrs["model_config"] = json.dumps(config)
        return path
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    return packed(path, {**parts, "config.json": json.dumps(config).encode()})


def packed(path: Path, parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def plain(library: Any = keras) -> Any:
    return library.Sequential([library.Input((4,), name="given"), library.layers.Dense(2, name="out")])


def honest(path: Path) -> Path:
    return uploads.saved(plain(), path)


def dense(config: Config) -> Config:
    """The configuration of the one layer that has weights."""
    found = next(one for one in config["config"]["layers"] if one["class_name"] == "Dense")
    assert isinstance(found, dict)
    return found


def named(kind: str, module: str | None = "keras.layers", registered: str | None = None, **config: Any) -> Config:
    return {"class_name": kind, "module": module, "registered_name": registered, "config": config}


def weights_changed(path: Path, change: Callable[[Any], object]) -> Path:
    """The `.keras` or `.h5` with its HDF5 changed."""
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            change(file)
        return path
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    inner = path.with_name("inner.h5")
    inner.write_bytes(parts["model.weights.h5"])
    with h5py.File(inner, "r+") as file:
        change(file)
    return packed(path, {**parts, "model.weights.h5": inner.read_bytes()})
