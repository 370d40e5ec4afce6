"""Fixtures of the real models. A test that asks for one is skipped, with the reason, where it cannot be had.

`tests/conftest.py` loads this, so tests of every area can use them. Mark such tests `@pytest.mark.assets`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.assets.fetch import AssetUnavailableError
from tests.assets.models import Asset, magika_onnx, minilm_onnx, openwakeword_onnx


def obtain(make: Callable[[], Asset]) -> Asset:
    """What `make` returns; the test is skipped when the asset cannot be fetched. Any other error is the test's."""
    try:
        return make()
    except AssetUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def minilm() -> Asset:
    """Sentiment by MiniLM, 600 labelled snippets."""
    return obtain(minilm_onnx)


@pytest.fixture(scope="session")
def minilm_with_many_examples() -> Asset:
    """The same model with 3,000 snippets: enough to prove a loss of less than a point."""
    return obtain(lambda: minilm_onnx(examples=3000))


@pytest.fixture(scope="session")
def magika() -> Asset:
    """File types by magika."""
    return obtain(magika_onnx)


@pytest.fixture(scope="session")
def openwakeword() -> Asset:
    """Speech embeddings, without labels."""
    return obtain(openwakeword_onnx)
