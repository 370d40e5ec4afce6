"""Writes what the tests of TensorFlow's doors upload: python -m tests.doors.tensorflow_uploads FOLDER

In a process of its own, for TensorFlow is not to be in that of the tests.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ.update({"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"})

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from tests.tensorflow.uploads import zipped

STEPS, FEATURES, CLASSES = 6, 3, 4
PICTURES, SIDE, COLOURS = 500, 8, 5


def masked() -> Any:
    made = [layers.Masking(), layers.LSTM(96), layers.Dense(CLASSES, name="scores")]
    return keras.Sequential([keras.Input((STEPS, FEATURES), name="series"), *made])


def stateful() -> Any:
    made = [layers.LSTM(8, stateful=True), layers.Dense(CLASSES, name="scores")]
    return keras.Sequential([keras.Input(batch_shape=(1, STEPS, FEATURES), name="series"), *made])


class Two(tf.Module):
    """Two signatures that take series of the same shape."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (tf.Variable(tf.random.normal((STEPS * FEATURES, 64), seed=seed)) for seed in (1, 2))
        self.last = tf.Variable(tf.random.normal((64, CLASSES), seed=3))

    @tf.function(input_signature=[tf.TensorSpec([None, STEPS, FEATURES], tf.float32, name="series")])
    def chosen(self, series: Any) -> dict[str, Any]:
        return {"scores": tf.nn.relu(tf.reshape(series, (-1, STEPS * FEATURES)) @ self.first) @ self.last}

    @tf.function(input_signature=[tf.TensorSpec([None, STEPS, FEATURES], tf.float32, name="series")])
    def other(self, series: Any) -> dict[str, Any]:
        return {"hidden": tf.reshape(series, (-1, STEPS * FEATURES)) @ self.second}


def convolutional() -> Any:
    """Wide for what it has to learn, so that half of it suffices."""
    made = [
        layers.Conv2D(48, 3, padding="same", activation="relu", name="first"),
        layers.Conv2D(64, 3, padding="same", activation="relu", name="second"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(96, activation="relu", name="hidden"),
        layers.Dense(COLOURS, name="logits"),
    ]
    return keras.Sequential([keras.Input((SIDE, SIDE, 3), name="image"), *made])


def write_coloured(folder: Path) -> None:
    """Noise with a colour for each class, and a network that has learned the colours."""
    random, y = np.random.default_rng(1), np.arange(PICTURES) % COLOURS
    colours = random.standard_normal((COLOURS, 3))
    image = (random.standard_normal((PICTURES, SIDE, SIDE, 3)) + colours[y][:, None, None]).astype(np.float32)
    keras.utils.set_random_seed(0)
    model = convolutional()
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(image, y, epochs=2, batch_size=50, verbose=0)
    model.save(folder / "coloured.keras")
    np.savez(folder / "coloured.npz", image=image, y=y)


def write(folder: Path) -> None:
    """Each model, and beside it series with the class that the model finds for each."""
    x = np.random.default_rng(0).standard_normal((150, STEPS, FEATURES)).astype(np.float32)
    x[::3, -2:] = 0
    for name, builder in (("masked", masked), ("stateful", stateful)):
        keras.utils.set_random_seed(0)
        model = builder()
        model.save(folder / f"{name}.keras")
        model.save(folder / f"{name}.h5")
        scores = np.concatenate([np.asarray(model(x[at : at + 1], training=False)) for at in range(len(x))])
        np.savez(folder / f"{name}.npz", series=x, y=scores.argmax(1))
    write_coloured(folder)
    two = Two()
    tf.saved_model.save(two, str(folder / "two"), signatures={"chosen": two.chosen, "other": two.other})
    zipped(folder / "two")
    np.savez(folder / "two.npz", series=x, y=np.asarray(two.chosen(x)["scores"]).argmax(1))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
