"""Recurrent networks become ONNX and LiteRT: masked, time first, of free length, in both directions, of both Keras."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras
from keras import layers

from apps.agents.contracts.errors.techniques import TechniqueLibraryFailed
from apps.agents.techniques.base import Optimized
from tests.tensorflow.keras_lessons import made

LITERT, ONNX = "litert-export", "tensorflow-onnx-export"
WRITTEN_OUT, ALONE = "steps are unrolled", "it takes one example at a time"


def sequence(library: Any, *made: Any, shape: tuple[int | None, ...] = (3, 3), batch: int | None = None) -> Any:
    return library.Sequential([library.Input(batch_shape=(batch, *shape), name="series"), *made])


def both_ways() -> Any:
    """Keras 3 writes out the masked steps of the backward half with a mistake, so that form is not taken."""
    inner = layers.Bidirectional(layers.LSTM(4, return_sequences=True))
    return sequence(keras, layers.Masking(), inner, layers.Bidirectional(layers.GRU(3)))


KINDS: dict[str, tuple[Callable[[], Any], str]] = {
    "masked words": (
        lambda: sequence(keras, layers.Embedding(50, 8, mask_zero=True), layers.LSTM(4), shape=(4,)),
        WRITTEN_OUT,
    ),
    "free length": (lambda: sequence(keras, layers.GRU(4), shape=(None, 3)), ALONE),
    "long": (lambda: sequence(keras, layers.LSTM(4), shape=(300, 3)), ALONE),
    "both ways, masked": (both_ways, ALONE),
    "time first": (
        lambda: sequence(tf_keras, tf_keras.layers.LSTM(4, time_major=True, return_sequences=True)),
        "in float32.",
    ),
    "tf_keras, masked": (lambda: sequence(tf_keras, tf_keras.layers.Masking(), tf_keras.layers.GRU(4)), ""),
}


def exported(model: Any, folder: Path, technique: str) -> Optimized:
    """Raises what the technique raises; it holds the outputs to the original's itself."""
    folder.mkdir(exist_ok=True)
    path = folder / ("model.keras" if isinstance(model, keras.Model) else "model.h5")
    model.save(path)
    x = series(model)
    np.savez(folder / "data.npz", series=x, y=np.arange(len(x)) % 2)
    return made(path, folder / "data.npz", folder / "made", technique)


def series(model: Any) -> Any:
    chance, rest = np.random.default_rng(0), tuple(model.inputs[0].shape)[1:]
    shape = (40, *(5 if axis is None else axis for axis in rest))
    x = chance.integers(0, 50, shape) if len(rest) == 1 else chance.standard_normal(shape)
    x[::3, -2:] = 0  # What masks leave out.
    return x.astype(np.float32)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "tf_keras, masked"])
def test_litert_has_the_same_outputs_in_the_form_that_it_takes(kind: str, tmp_path: Path) -> None:
    builder, said = KINDS[kind]
    found = exported(builder(), tmp_path, LITERT)
    assert said in " ".join(found.result.checks)
    assert found.result.model.inputs[0].shape[0] == (1 if said == ALONE else None)
    assert found.result.model.parameters > 50, "of loops' bodies too"


@pytest.mark.parametrize("kind", ["masked words", "free length", "time first", "tf_keras, masked"])
def test_onnx_has_the_same_outputs_for_any_batch(kind: str, tmp_path: Path) -> None:
    found = exported(KINDS[kind][0](), tmp_path, ONNX)
    assert found.result.model.inputs[0].shape[0] == "batch"


@pytest.mark.parametrize("library", [keras, tf_keras])
def test_what_keeps_a_state_says_so(library: Any, tmp_path: Path) -> None:
    model = sequence(library, library.layers.LSTM(4, stateful=True), batch=2)
    for technique in (LITERT, ONNX):
        with pytest.raises(TechniqueLibraryFailed, match="keeps state between calls"):
            exported(model, tmp_path / technique, technique)


def test_a_pruned_recurrent_network_tells_its_sizes(tmp_path: Path) -> None:
    found = exported(sequence(keras, layers.LSTM(16), layers.Dense(2)), tmp_path, "keras-magnitude-pruning")
    assert set(found.result.sizes) == {"dense", "zipped", "TensorFlow Lite", "zipped TensorFlow Lite"}
