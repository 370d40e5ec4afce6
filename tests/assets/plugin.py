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

    from tests.assets.models import Asset, Transformer


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
