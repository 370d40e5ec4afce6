"""A SavedModel in half precision: half the bytes, nearly the same outputs, the same names."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from apps.agents.contracts.criteria import Device, Target
from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.dataset import Task
from apps.agents.datasets.loading import load_dataset
from apps.agents.evaluation.fidelity import energies
from apps.agents.measuring.engine import open_engine
from apps.agents.techniques.base import Assignment, Optimized, agent_for, spec_of
from tests.agents.told import Told

MODES = ("mixed", "float16")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two outputs, a norm, and a shape that is computed."""
    keras.utils.set_random_seed(0)
    given = keras.Input((16, 16, 3), name="image")
    body = layers.BatchNormalization()(layers.Conv2D(32, 3, activation="relu")(given))
    body = layers.Conv2D(64, 3, activation="relu")(body)
    flat = layers.Dense(128, activation="relu")(layers.Flatten()(body))
    model = keras.Model(given, [layers.Dense(10, name="logits")(flat), layers.Dense(4, name="box")(flat)])
    folder = tmp_path_factory.mktemp("network")
    served = tf.function(
        lambda image: dict(zip(("logits", "box"), model(image, training=False), strict=True)),
        input_signature=[tf.TensorSpec([None, 16, 16, 3], tf.float32, name="image")],
    )
    module = tf.Module()
    module.model, module.served = model, served
    tf.saved_model.save(module, str(folder / "model"), signatures={"serving_default": served})
    return Path(shutil.make_archive(str(folder / "packed"), "zip", folder / "model"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(path, image=np.random.default_rng(0).normal(size=(60, 16, 16, 3)).astype(np.float32))
    return path


def made(model: Path, data: Path, folder: Path, mode: str) -> Optimized:
    (folder / "work").mkdir(parents=True)
    (folder / "out").mkdir()
    inputs = open_engine(Format.SAVED_MODEL, model, folder / "work").summary.inputs
    spec, parameters = spec_of("tensorflow-half", {"mode": mode})
    dataset = load_dataset(data, DatasetSpec(kind=DatasetKind.NPZ, task=Task.FIDELITY), inputs, 0)
    folders: dict[str, Any] = {"scratch": folder / "work", "out": folder / "out"}
    assignment = Assignment(
        spec=spec, parameters=parameters, model=model, dataset=dataset, format=Format.SAVED_MODEL, **folders
    )
    return agent_for(spec).run(assignment, Told())


@pytest.mark.parametrize("mode", MODES)
def test_it_takes_half_the_bytes_and_gives_nearly_the_same(mode: str, network: Path, data: Path, tmp_path: Path):
    half = made(network, data, tmp_path, mode)

    assert half.result.size_bytes < 0.52 * half.result.input_size_bytes
    feeds = {"image": np.load(data)["image"]}
    engines = [
        open_engine(*one, tmp_path) for one in ((Format.SAVED_MODEL, network), (Format.SAVED_MODEL, half.artifact))
    ]
    before, after = (engine.session(Target())(feeds) for engine in engines)
    assert [spec.name for spec in engines[1].summary.outputs] == ["box", "logits"]
    by_name = dict(zip((spec.name for spec in engines[0].summary.outputs), before, strict=True))
    for spec, changed in zip(engines[1].summary.outputs, after, strict=True):
        signal, noise = energies(by_name[spec.name], changed)
        assert changed.dtype == np.float32
        assert 0 < noise < 1e-4 * signal


@pytest.mark.gpu
@pytest.mark.skipif(not tf.config.list_physical_devices("GPU"), reason="TensorFlow sees no CUDA device")
@pytest.mark.parametrize("mode", MODES)
def test_it_runs_on_an_accelerator(mode: str, network: Path, data: Path, tmp_path: Path):
    half = made(network, data, tmp_path, mode)
    engine = open_engine(Format.SAVED_MODEL, half.artifact, tmp_path)
    outputs = engine.session(Target(device=Device.CUDA))({"image": np.load(data)["image"]})
    assert all(np.isfinite(output).all() for output in outputs)
