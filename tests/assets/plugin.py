"""Fixtures of the real models. A test that asks for one is skipped, with the reason, where it cannot be had.

`tests/conftest.py` loads this, so tests of every area can use them; numpy and ONNX Runtime are imported only when one
is asked for. Mark such tests `@pytest.mark.assets`, and give the first of them time: it downloads and builds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.assets.fetch import AssetUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.assets.models import Asset, StateDict, Transformer, Trio


def obtain(function: str, **options: Any) -> Any:
    """What `function` of `tests.assets.models` returns; the test is skipped when the asset cannot be fetched.

    Any other error is the test's.
    """
    models = importlib.import_module("tests.assets.models")
    try:
        return getattr(models, function)(**options)
    except AssetUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def minilm() -> Asset:
    """Sentiment by MiniLM, 600 labelled snippets."""
    return obtain("minilm_onnx")


@pytest.fixture(scope="session")
def minilm_with_many_examples() -> Asset:
    """The same model with 3,000 snippets: enough to prove a loss of less than a point."""
    return obtain("minilm_onnx", examples=3000)


@pytest.fixture(scope="session")
def magika() -> Asset:
    """File types by magika."""
    return obtain("magika_onnx")


@pytest.fixture(scope="session")
def openwakeword() -> Asset:
    """Speech embeddings, without labels."""
    return obtain("openwakeword_onnx")


@pytest.fixture(scope="session")
def stories15m() -> Transformer:
    """A small language model for children's stories, as a transformers folder and as a zip of it."""
    return obtain("stories15m_folder")


@pytest.fixture(scope="session")
def own_stories() -> Path:
    """Stories written by stories15M itself, one a line (`text`)."""
    return obtain("own_stories")


@pytest.fixture(scope="session")
def wikipedia_text() -> Path:
    """Paragraphs of Wikipedia, one a line (`text`)."""
    return obtain("wikipedia_text")


@pytest.fixture(scope="session")
def minilm_classifier() -> Transformer:
    """MiniLM with a sentiment head, as a transformers folder."""
    return obtain("minilm_folder")


@pytest.fixture(scope="session")
def snippets() -> Path:
    """600 labelled snippets for it, one a line (`text`, `label`)."""
    return obtain("snippets")


@pytest.fixture(scope="session")
def minilm_encoder() -> Transformer:
    """MiniLM as published, as a transformers folder."""
    return obtain("minilm_encoder_folder")


@pytest.fixture(scope="session")
def word_similarity() -> Path:
    """Pairs of words with a score, one a line (`text_a`, `text_b`, `score`)."""
    return obtain("word_similarity")


@pytest.fixture(scope="session")
def efficientnet() -> StateDict:
    """EfficientNet-lite0 for ImageNet, as a state dict with its architecture."""
    return obtain("efficientnet_lite0")


@pytest.fixture(scope="session")
def efficientnet_cifar10() -> StateDict:
    """The same with a head for CIFAR-10."""
    return obtain("efficientnet_lite0_cifar10")


@pytest.fixture(scope="session")
def cifar10() -> Path:
    """CIFAR-10's test set as it is."""
    return obtain("cifar10_test")


@pytest.fixture(scope="session")
def cifar10_for_efficientnet() -> Path:
    """400 test pictures of CIFAR-10, `image` as EfficientNet-lite0 takes it, and `y`."""
    return obtain("cifar10_examples")


@pytest.fixture(scope="session")
def cifar10_cnn() -> Path:
    """A CNN for CIFAR-10, as an `.h5`."""
    return obtain("cifar10_cnn")


@pytest.fixture(scope="session")
def cifar10_cnn_keras() -> Path:
    """The same, as a `.keras`."""
    return obtain("cifar10_cnn_keras")


@pytest.fixture(scope="session")
def cifar10_cnn_saved_model() -> Path:
    """The same, as a SavedModel."""
    return obtain("cifar10_cnn_saved_model")


@pytest.fixture(scope="session")
def cifar10_tested() -> Path:
    """All 10,000 test pictures for it."""
    return obtain("cifar10_pictures")


@pytest.fixture(scope="session")
def cifar10_trained() -> Path:
    """3,000 pictures for it that no test is made with."""
    return obtain("cifar10_pictures", part="training", examples=3000)


@pytest.fixture(scope="session")
def mnist_cnn() -> Path:
    """A CNN for MNIST that only tf_keras reads."""
    return obtain("mnist_cnn")


@pytest.fixture(scope="session")
def mnist_tested() -> Path:
    """All 10,000 test pictures for it."""
    return obtain("mnist_examples")


@pytest.fixture(scope="session")
def basic_pitch() -> Trio:
    """One net in three formats."""
    return obtain("basic_pitch")


@pytest.fixture(scope="session")
def singing() -> Path:
    """40 windows of sound for it, without labels, as its SavedModel names the input."""
    return obtain("audio_windows")


@pytest.fixture(scope="session")
def text_saved_model() -> Asset:
    """A SavedModel that takes strings."""
    return obtain("text_saved_model")
