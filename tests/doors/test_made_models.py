"""Models and data sets that `lathe.testing` makes are what a member could upload: checked, and fit for a session."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lathe.testing import data_sets, folders, litert_models, transformers_folders
from lathe.testing.widths import BYTES, MEGABYTE
from tests.door import Door

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

ROOT = Path(__file__).parents[2]
SIDE, MEGABYTES = 8, 0.5
OF_PICTURES: dict[str, Any] = {"kind": "npz", "task": "classification"}
KERAS = """
import sys
from pathlib import Path
from lathe.testing import folders, keras_models
folder = Path(sys.argv[1])
model = keras_models.convolutional({megabytes}, side={side})
model.save(folder / "model.keras")
folders.zipped(keras_models.saved_model(model, folder / "saved"))
"""
"""In a process of its own, for TensorFlow is not to be in that of the tests."""


def pictures() -> bytes:
    """With the channels last, as TensorFlow has them."""
    made = data_sets.pictures(60, side=SIDE)
    return data_sets.npz(x=made["x"].transpose(0, 2, 3, 1), y=made["y"])


def fit(door: Door, file: Path, kind: str, data: bytes, spec: dict[str, Any], filename: str) -> None:
    """The model is checked and has the size, and a session on the data can be started."""
    version, dataset = door.model(file), door.data(data, spec, filename)
    summary = version.metadata.summary
    assert version.metadata.format == kind
    assert summary.parameters * BYTES / MEGABYTE == pytest.approx(MEGABYTES, rel=0.2)
    preview = door.preview(version, dataset)
    assert preview["status_code"] == 200, preview


def test_litert(door: Door, tmp_path: Path) -> None:
    file = tmp_path / "model.tflite"
    file.write_bytes(litert_models.convolutional(MEGABYTES, side=SIDE))
    fit(door, file, "tflite", pictures(), OF_PICTURES, "data.npz")


def test_a_transformers_folder(door: Door, tmp_path: Path) -> None:
    file = folders.zipped(transformers_folders.classifier(tmp_path / "model", MEGABYTES))
    texts = data_sets.jsonl(data_sets.texts(60))
    fit(door, file, "transformers", texts, {"kind": "text", "task": "classification"}, "texts.jsonl")


def test_keras_and_saved_model(door: Door, tmp_path: Path) -> None:
    code = KERAS.format(megabytes=MEGABYTES, side=SIDE)
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    places = {"PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    command = [sys.executable, "-c", code, str(tmp_path)]
    subprocess.run(command, env={**quiet, **places}, check=True, capture_output=True, timeout=300)
    for name, kind in (("model.keras", "keras"), ("saved.zip", "saved-model")):
        fit(door, tmp_path / name, kind, pictures(), OF_PICTURES, "data.npz")
