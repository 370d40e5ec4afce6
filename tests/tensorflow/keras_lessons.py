"""A small real network, trained on real pictures, and techniques applied to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.dataset import Task
from apps.agents.datasets.loading import load_dataset
from apps.agents.measuring.engine import open_engine
from apps.agents.measuring.protocol import ModelFile
from apps.agents.techniques.base import Assignment, Optimized, agent_for, spec_of
from tests.agents.told import Told

SAMPLES = Path(__file__).resolve().parents[2] / "samples" / "fashion_mnist_test.npz"


def residual() -> Any:
    """Convolutions whose outputs are added up, a depthwise one, and a dense layer behind a flattened map."""
    given = keras.Input((28, 28, 1), name="image")
    first = layers.Conv2D(16, 3, strides=2, padding="same", name="first")(given)
    first = layers.ReLU()(layers.BatchNormalization()(first))
    second = layers.Conv2D(16, 3, padding="same", activation="relu", name="second")(first)
    joined = layers.Add()([first, second])
    deep = layers.DepthwiseConv2D(3, padding="same", name="deep")(joined)
    deep = layers.Conv2D(24, 1, activation="relu", name="wide")(deep)
    flat = layers.Flatten()(layers.MaxPooling2D(2)(deep))
    hidden = layers.Dense(32, activation="relu", name="hidden")(flat)
    return keras.Model(given, layers.Dense(10, name="logits")(hidden))


def write_pictures(path: Path) -> Path:
    """The samples' pictures, channels last, 0 to 1, and their labels."""
    stored = np.load(SAMPLES)
    images = stored["image"].transpose(0, 2, 3, 1).astype(np.float32) / 255
    np.savez(path, image=images, y=stored["y"])
    return path


def write_trained(path: Path, data: Path) -> Path:
    """A `residual` network that has learned the pictures."""
    keras.utils.set_random_seed(0)
    arrays, model = np.load(data), residual()
    model.compile(keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(arrays["image"], arrays["y"], epochs=6, batch_size=64, verbose=0)
    model.save(path)
    return path


def assignment_of(
    model: Path, data: Path, folder: Path, technique: str, *, to_train_on: float = 0.5, **parameters: Any
) -> Assignment:
    """Of one technique; `to_train_on` is the training part's share of the pictures, and the original is the teacher."""
    (folder / "work").mkdir(parents=True)
    (folder / "out").mkdir()
    format = Format.KERAS_H5 if model.suffix == ".h5" else Format.KERAS  # noqa: A001
    inputs = open_engine(format, model, folder / "work").summary.inputs
    spec = DatasetSpec(kind=DatasetKind.NPZ, task=Task.CLASSIFICATION, training_share=to_train_on)
    technique_spec, complete = spec_of(technique, parameters)
    return Assignment(
        spec=technique_spec,
        parameters=complete,
        model=model,
        dataset=load_dataset(data, spec, inputs, 0, scratch=folder / "work"),
        scratch=folder / "work",
        out=folder / "out",
        format=format,
        further_inputs={role: ModelFile(format=format, path=model) for role in technique_spec.inputs},
    )


def applied(assignment: Assignment, told: Told | None = None) -> Optimized:
    return agent_for(assignment.spec).run(assignment, told or Told())


def made(model: Path, data: Path, folder: Path, technique: str, **parameters: Any) -> Optimized:
    return applied(assignment_of(model, data, folder, technique, **parameters))


def accuracy(model: Path, data: Path) -> float:
    arrays = np.load(data)
    outputs = keras.models.load_model(model, compile=False).predict(arrays["image"][:1500], verbose=0)
    return float(100 * (outputs.argmax(1) == arrays["y"][:1500]).mean())
