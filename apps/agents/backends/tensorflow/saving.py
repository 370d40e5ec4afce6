"""Writes Keras models: only for inference, and reproducible to the byte."""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from apps.agents.files.reproducible_zip import write_zip

ARTIFACT = "model.keras"
_DATED = "metadata.json"


def save_keras(model: Any, out: Path) -> Path:
    """Write a model of Keras 3 to `out` as `model.keras`, without a date."""
    with tempfile.TemporaryDirectory(prefix="keras-") as scratch:
        written, folder = Path(scratch) / ARTIFACT, Path(scratch) / "parts"
        model.save(written)
        with zipfile.ZipFile(written) as archive:
            archive.extractall(folder)
        metadata = json.loads((folder / _DATED).read_text())
        (folder / _DATED).write_text(json.dumps({"keras_version": metadata["keras_version"]}))
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return write_zip(
            out / ARTIFACT, [(path.relative_to(folder).as_posix(), path) for path in files], compress=False
        )
