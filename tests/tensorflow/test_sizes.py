"""A model's size is that of its weights and its program, whatever else its file holds, in TensorFlow's formats."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from keras import layers

from apps.agents.backends.litert.flatbuffer import parse_litert
from apps.agents.backends.litert.inspection import inspect as inspect_litert
from apps.agents.backends.tensorflow.inspection import inspect
from apps.agents.evaluation.plausibility import weight_bytes
from tests.tensorflow import uploads
from tests.tensorflow.test_litert_files import changed

PROGRAM_BYTES = 12_000
"""The most that the program of so small a network may take."""
WIDTHS = pytest.mark.parametrize("width", [4, 128])


def network(width: int) -> Any:
    """Trained, so that its files hold an optimizer's state: two numbers for each weight."""
    model = keras.Sequential([keras.Input((width,), name="x"), layers.Dense(width), layers.Dense(width, name="y")])
    model.compile("adam", "mse")
    model.fit(np.zeros((4, width)), np.zeros((4, width)), verbose=0)
    return model


def own_bytes(model: Any) -> int:
    return 4 * sum(math.prod(weight.shape) for weight in model.weights)


@WIDTHS
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_keras_file_counts_without_its_optimizers_state(suffix: str, width: int, tmp_path: Path) -> None:
    model = network(width)
    summary = inspect(uploads.saved(model, tmp_path / f"model{suffix}"), tmp_path)
    assert summary.size_bytes == weight_bytes(summary) == own_bytes(model)


@WIDTHS
def test_a_saved_model_counts_each_variable_once(width: int, tmp_path: Path) -> None:
    model = network(width)
    summary = inspect(uploads.zipped(uploads.exported(tmp_path / "model", model)), tmp_path)
    assert own_bytes(model) <= summary.size_bytes <= own_bytes(model) + PROGRAM_BYTES


@WIDTHS
def test_a_litert_file_counts_without_metadata_and_files_behind_it(width: int, tmp_path: Path) -> None:
    model = network(width)
    plain = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    (tmp_path / "plain.tflite").write_bytes(plain)
    summary = inspect_litert(tmp_path / "plain.tflite", tmp_path)
    assert own_bytes(model) <= summary.size_bytes <= own_bytes(model) + PROGRAM_BYTES
    (tmp_path / "laden.tflite").write_bytes(changed(plain, with_metadata) + labels())
    laden = inspect_litert(tmp_path / "laden.tflite", tmp_path)
    assert laden.size_bytes <= summary.size_bytes + 1000


def with_metadata(model: Any) -> None:
    buffer = schema.BufferT()
    buffer.data = np.ones(1_000_000, np.uint8)
    model.buffers.append(buffer)


def labels() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("labels.txt", "cat\n" * 100_000)
    return file.getvalue()


def test_two_tensors_of_one_buffer_count_once(tmp_path: Path) -> None:
    """Sizes would else be less than the weights that a file claims to hold."""
    model = network(64)
    plain = tf.lite.TFLiteConverter.from_keras_model(model).convert()

    def tied(model: Any) -> None:
        matrices = [one for one in model.subgraphs[0].tensors if list(one.shape) == [64, 64]]
        assert len(matrices) == 2
        matrices[1].buffer = matrices[0].buffer

    before, after = (parse_litert(one).summary() for one in (plain, changed(plain, tied)))
    assert before.parameters - after.parameters == 64 * 64
    assert weight_bytes(after) <= after.size_bytes <= weight_bytes(after) + PROGRAM_BYTES
