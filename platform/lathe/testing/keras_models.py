"""Keras models of a size; `model.save("model.keras")` writes what a member would upload, and so does `saved_model`."""

from __future__ import annotations

from pathlib import Path

import keras

from lathe.testing.widths import width_for


def perceptron(megabytes: float, columns: int = 16, classes: int = 10, seed: int = 0) -> keras.Model:
    """Float32 [N, columns] → three layers → [N, classes]."""
    width = width_for(megabytes, 1, columns + classes + 2, classes)
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((columns,), name="x"),
            layers.Dense(width, "relu"),
            layers.Dense(width, "relu"),
            layers.Dense(classes, name="logits"),
        ]
    )


def convolutional(
    megabytes: float, side: int = 32, channels: int = 3, classes: int = 10, layers: int = 4, seed: int = 0
) -> keras.Model:
    """Float32 [N, side, side, channels] → 3×3 convolutions, a mean over the picture → [N, classes]."""
    width = width_for(megabytes, 9 * layers, 9 * channels + layers + 1 + classes, classes)
    keras.utils.set_random_seed(seed)
    convolutions = [keras.layers.Conv2D(width, 3, padding="same", activation="relu") for _ in range(layers + 1)]
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(classes, name="logits")]
    return keras.Sequential([keras.Input((side, side, channels), name="x"), *convolutions, *head])


def saved_model(model: keras.Model, folder: Path) -> Path:
    """The model as a SavedModel in `folder`, as Keras exports it for serving. Returns `folder`."""
    model.export(str(folder), verbose=False)
    return folder
