"""Keras models made on the spot, as `tests/lathe/test_testing.py` tests the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lathe.testing import keras_models
from lathe.testing.widths import MEGABYTE

pytestmark = pytest.mark.portable


@pytest.mark.parametrize(
    ("make", "shape"), [(keras_models.perceptron, (16,)), (keras_models.convolutional, (32, 32, 3))]
)
def test_a_keras_model_has_the_size_answers_and_depends_on_its_seed_alone(
    make: Callable[..., Any], shape: tuple[int, ...]
) -> None:
    first, same = make(1), make(1)
    assert first.count_params() * 4 / MEGABYTE == pytest.approx(1, rel=0.15)
    assert first(np.ones((2, *shape), np.float32)).shape == (2, 10)
    assert all((one == two).all() for one, two in zip(first.get_weights(), same.get_weights(), strict=True))
