"""Keras files of many kinds, as inspection tells them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from apps.agents.backends.tensorflow.inspection import inspect
from apps.agents.backends.tensorflow.keras_objects import judge_objects
from apps.agents.backends.tensorflow.loading import load_opened
from apps.agents.backends.tensorflow.opening import open_model
from apps.agents.contracts.errors.models import ModelTooLarge
from apps.agents.contracts.errors.running import ModelNotLoadable
from apps.agents.files.archives import Limits
from tests.tensorflow import uploads

HONEST = [(name, suffix) for name in uploads.KERAS for suffix in (".keras", ".h5")]
HONEST.remove(("operations", ".h5"))


@pytest.mark.parametrize(("name", "suffix"), HONEST)
def test_an_honest_model_passes_with_its_inputs_outputs_and_weights(name: str, suffix: str, tmp_path: Path) -> None:
    model = uploads.KERAS[name]()
    summary = inspect(uploads.saved(model, tmp_path / f"model{suffix}"), tmp_path)
    weights = [weight for weight in model.weights if "seed_generator" not in weight.path]
    assert [spec.name for spec in summary.inputs] == [tensor.name for tensor in model.inputs]
    assert [spec.shape for spec in summary.inputs] == [tuple(tensor.shape) for tensor in model.inputs]
    assert [spec.shape for spec in summary.outputs] == [tuple(tensor.shape) for tensor in model.outputs]
    assert sorted(spec.shape for spec in summary.weights) == sorted(tuple(weight.shape) for weight in weights)
    assert summary.parameters == sum(int(np.prod(weight.shape)) for weight in weights)
    assert summary.producer == f"Keras {keras.__version__}"


def test_an_h5_that_keras_3_cannot_read_back_itself_is_refused_with_the_reasons(tmp_path: Path) -> None:
    with pytest.raises(ModelNotLoadable, match="Unknown layer: 'Transpose'"):
        inspect(uploads.saved(uploads.operations(), tmp_path / "model.h5"), tmp_path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_model_of_tf_keras_passes(suffix: str, tmp_path: Path) -> None:
    summary = inspect(uploads.by_tf_keras(tmp_path / f"model{suffix}"), tmp_path)
    assert [spec.name for spec in summary.outputs] == ["scores"]
    assert summary.parameters == 138


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_what_keras_3_cannot_read_tf_keras_does(suffix: str, tmp_path: Path) -> None:
    path = uploads.calling_tensorflow(tmp_path / f"model{suffix}")
    model = load_opened(open_model(path, tmp_path))
    assert model.reader.startswith("tf_keras")
    assert "read by tf_keras" in model.summary.producer
    assert model.call({"given": np.ones((3, 4), np.float32)})["out"].shape == (3, 2)


def test_the_state_of_the_optimizer_is_no_weight(tmp_path: Path) -> None:
    summaries = [inspect(uploads.saved(uploads.trained(), tmp_path / name), tmp_path) for name in ("a.keras", "a.h5")]
    assert [summary.parameters for summary in summaries] == [5, 5]
    assert [len(summary.weights) for summary in summaries] == [2, 2]


def test_an_inner_model_may_be_compiled(tmp_path: Path) -> None:
    inner = uploads.trained()
    given = keras.Input((4,), name="given")
    outer = keras.Model(given, inner(given))
    assert inspect(uploads.saved(outer, tmp_path / "model.keras"), tmp_path).parameters == 5


def test_a_compressed_archive_passes(tmp_path: Path) -> None:
    path, packed = uploads.saved(uploads.convolutional(), tmp_path / "model.keras"), tmp_path / "packed.keras"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert inspect(packed, tmp_path) == inspect(path, tmp_path)


def test_the_size_of_the_file_is_limited(tmp_path: Path) -> None:
    path = uploads.saved(uploads.convolutional(), tmp_path / "model.h5")
    with pytest.raises(ModelTooLarge):
        inspect(path, tmp_path, limit_bytes=1000)
    with pytest.raises(ModelTooLarge):
        open_model(path, tmp_path, Limits(total_bytes=100))


@pytest.mark.parametrize("value", [0.5, [1.0, 2.0, 3.0]])
def test_three_numbers_are_no_byte_code(value: Any, tmp_path: Path) -> None:
    constant = {"class_name": "Constant", "module": "keras.initializers", "config": {"value": value}}
    judge_objects({"class_name": "Sequential", "module": "keras", "config": {"layers": [constant]}}, legacy=False)
