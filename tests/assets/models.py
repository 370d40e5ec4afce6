"""Real models with real examples, made ready for a session and kept in the cache.

Each function returns an `Asset` and raises `AssetUnavailableError` when a package cannot be had. What is built of a
package is kept under the digest of the code that built it, so the second call costs nothing and a changed recipe makes
a new file.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.assets import fetch, file_types, speech

BUILD_TIMEOUT_S = 600
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Asset:
    """An ONNX model and a data set for it: an npz with arrays named as the model's inputs, and `y` if it has labels."""

    model: Path
    data: Path


def minilm_onnx(examples: int = 600) -> Asset:
    """MiniLM as a sentiment classifier (logits [batch, 2]), 22.7 M parameters, with up to 3,000 labelled snippets.

    No snippet served to train the classifier. To prove a loss below one point takes about 2,000 of them: a quantized
    encoder changes three predictions in a hundred.
    """
    asset = _built("minilm", "minilm.py", _build_minilm)
    return asset if examples == 3000 else Asset(asset.model, _first(asset.data, examples))


def magika_onnx() -> Asset:
    """magika (bytes, int32 [batch, 2048] → 214 probabilities), 0.78 M parameters, with this Python's own files."""
    return _built("magika", "file_types.py", _build_magika)


def openwakeword_onnx() -> Asset:
    """openwakeword's speech embedding (spectrogram [batch, 76, 32, 1] → [batch, 1, 1, 96]), with sounds, no labels."""
    return _built("openwakeword", "speech.py", _build_openwakeword)


def _built(name: str, source: str, build: Callable[[Path], None]) -> Asset:
    """The asset that `build` writes into a folder as `model.onnx` and `examples.npz`, from the cache if it is there."""
    version = fetch.sha256((_HERE / source).read_bytes())[:12]
    folder = fetch.cache_folder() / "built" / f"{name}-{version}"
    asset = Asset(folder / "model.onnx", folder / "examples.npz")
    if not folder.is_dir():
        folder.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            whole = Path(scratch) / "whole"
            whole.mkdir()
            build(whole)
            if not folder.is_dir():  # another test process may have been quicker; both have made the same
                whole.rename(folder)
    return asset


def _build_minilm(folder: Path) -> None:
    model = fetch.fetch(fetch.MINILM)["model.safetensors"].parent
    ratings = fetch.fetch(fetch.VADER)["hutto_ICWSM_2014.tar.gz"]
    command = [sys.executable, str(_HERE / "minilm.py"), str(model), str(ratings), str(folder)]
    subprocess.run(command, check=True, timeout=BUILD_TIMEOUT_S, capture_output=True)


def _build_magika(folder: Path) -> None:
    files = fetch.fetch(fetch.MAGIKA)
    shutil.copyfile(files["model.onnx"], folder / "model.onnx")
    file_types.write_examples(files["config.min.json"], folder / "examples.npz")


def _build_openwakeword(folder: Path) -> None:
    files = fetch.fetch(fetch.OPENWAKEWORD)
    shutil.copyfile(files["embedding_model.onnx"], folder / "model.onnx")
    speech.write_examples(files["melspectrogram.onnx"], folder / "examples.npz")


def _first(data: Path, examples: int) -> Path:
    """A data set of the first `examples` of `data`, beside it."""
    path = data.with_name(f"examples-{examples}.npz")
    if not path.is_file():
        arrays = np.load(data)
        with tempfile.TemporaryDirectory(dir=data.parent) as scratch:
            part = Path(scratch) / "part.npz"
            np.savez_compressed(part, **{name: arrays[name][:examples] for name in arrays.files})
            part.replace(path)
    return path
