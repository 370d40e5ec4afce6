"""The models that everyone gets, each with a data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.dataset import Task
from benchmarks.own_portal import ROOT

SAMPLES = ROOT / "samples"
IMAGES = SAMPLES / "fashion_mnist_test.npz"
CLASSES = DatasetSpec(kind=DatasetKind.NPZ, task=Task.CLASSIFICATION)
PERPLEXITY = DatasetSpec(kind=DatasetKind.TEXT, task=Task.LANGUAGE_MODELING)


@dataclass(frozen=True)
class Subject:
    key: str
    label: str
    format: Format
    spec: DatasetSpec
    obtain: Callable[[], tuple[Path, Path]]
    """The model and the data set. Raises `AssetUnavailableError` where they cannot be had."""
    transformer: bool = False


def _minilm() -> tuple[Path, Path]:
    from tests.assets.models import minilm_onnx

    asset = minilm_onnx(examples=3000)
    return asset.model, asset.data


def _magika() -> tuple[Path, Path]:
    from tests.assets.models import magika_onnx

    asset = magika_onnx()
    return asset.model, asset.data


def _cifar10() -> tuple[Path, Path]:
    from tests.assets.models import cifar10_cnn_keras, cifar10_pictures

    return cifar10_cnn_keras(), cifar10_pictures()


def _stories15m() -> tuple[Path, Path]:
    from tests.assets.models import own_stories, stories15m_folder

    return stories15m_folder().archive, own_stories()


SUBJECTS = (
    Subject(
        "resnet",
        "ResNet, Fashion-MNIST (sample)",
        Format.ONNX,
        CLASSES,
        lambda: (SAMPLES / "fashion_resnet.onnx", IMAGES),
    ),
    Subject(
        "mobilenet",
        "MobileNet, Fashion-MNIST (sample)",
        Format.ONNX,
        CLASSES,
        lambda: (SAMPLES / "fashion_mobilenet.onnx", IMAGES),
    ),
    Subject("magika", "magika, file types", Format.ONNX, CLASSES, _magika),
    Subject("minilm", "MiniLM, sentiment", Format.ONNX, CLASSES, _minilm, transformer=True),
    Subject("cifar10", "CNN of Keras, CIFAR-10", Format.KERAS, CLASSES, _cifar10),
    Subject(
        "stories15m", "stories15M, a Llama in PyTorch", Format.TRANSFORMERS, PERPLEXITY, _stories15m, transformer=True
    ),
)


def subjects(keys: tuple[str, ...] = ()) -> tuple[Subject, ...]:
    """Those that are named, or all of them."""
    return tuple(one for one in SUBJECTS if not keys or one.key in keys)
