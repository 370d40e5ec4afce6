"""Packages of Keras and TensorFlow Lite models run where nothing of Lathe is, and check themselves."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from apps.agents.backends.litert.engine import LiteRtEngine
from apps.agents.backends.tensorflow.engine import TensorFlowEngine
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.formats import Format
from apps.agents.packaging.examples import PackageExamples
from apps.agents.packaging.package import DOCUMENTS, Content, build_package
from apps.agents.packaging.script import flat
from tests.agents.cards import card
from tests.tensorflow import uploads

PICTURES = {"pictures": np.random.default_rng(0).uniform(size=(2, 8, 8, 3)).astype(np.float32)}


@pytest.mark.parametrize("kind", [Format.KERAS, Format.TFLITE])
def test_a_package_checks_itself(kind: Format, tmp_path: Path) -> None:
    for name in ("work", "out", "bare"):
        (tmp_path / name).mkdir()
    for name in DOCUMENTS.values():
        (tmp_path / name).write_text(name)
    model = tmp_path / f"stored.{'keras' if kind is Format.KERAS else 'tflite'}"
    if kind is Format.KERAS:
        uploads.convolutional().save(model)
    else:
        uploads.litert(model)
    engine = (TensorFlowEngine if kind is Format.KERAS else LiteRtEngine)(model, tmp_path / "work")
    names = [spec.name for spec in engine.summary.outputs]
    outputs = engine.session(Target())(PICTURES)
    examples = PackageExamples(PICTURES, flat(dict(zip(names, outputs, strict=True))), own=True, rows=2)
    documents = {role: tmp_path / name for role, name in DOCUMENTS.items()}
    content = Content(model, f"net{model.suffix}", kind, documents, card(), examples)
    packed = build_package(content, tmp_path / "work", tmp_path / "out")
    assert packed.finding is None
    with zipfile.ZipFile(packed.path) as archive:
        archive.extractall(tmp_path / "bare")
    if kind is Format.TFLITE:  # The same for Keras has been run while packing, and importing it takes its time.
        done = subprocess.run([sys.executable, "-I", str(tmp_path / "bare" / "run.py"), "--bench"], capture_output=True)
        assert done.returncode == 0
        assert b"The same outputs" in done.stdout
