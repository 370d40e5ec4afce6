"""Decomposition of Keras models: what is replaced, what is not, and what comes of it further on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from apps.agents.backends.tensorflow.decomposition.layers import layers_of, rows_read
from apps.agents.contracts.errors.techniques import (
    TechniqueNotApplicable,
    TechniqueNothingToDecompose,
    TechniqueParameters,
)
from apps.agents.techniques.base import Optimized
from apps.agents.techniques.decomposition.choice import pays
from apps.agents.techniques.decomposition.options import Option
from tests.tensorflow.keras_lessons import accuracy, made

UNTIMED = {"timed": False, "multiple_of": 1, "calibration_examples": 64}
SIDE, RANK = 9, 4


def small(*, sequential: bool = False) -> Any:
    """Pictures to five numbers; two layers have weights of rank four. Biases and norms are not at their start."""
    parts = [
        layers.Conv2D(8, 3, padding="same", activation="relu", name="stem"),
        layers.DepthwiseConv2D(3, name="alone"),
        layers.Conv2D(12, 3, strides=2, padding="same", use_bias=False, name="body"),
        layers.BatchNormalization(name="norm"),
        layers.Conv2D(12, 3, padding="same", groups=2, name="grouped"),
        layers.Flatten(name="flat"),
        layers.Dense(24, activation="relu", name="hidden"),
        layers.Dense(5, name="out"),
    ]
    given = keras.Input((SIDE, SIDE, 3), name="image")
    if sequential:
        model = keras.Sequential([given, *parts])
    else:
        tensor = given
        for part in parts:
            tensor = part(tensor)
        model = keras.Model(given, tensor)
    random = np.random.default_rng(0)
    model.set_weights([0.5 * one + 0.2 * random.random(one.shape).astype(np.float32) for one in model.get_weights()])
    for name in ("body", "hidden"):
        kernel = model.get_layer(name).kernel
        left, right = (random.normal(size=(side, RANK)) for side in (np.prod(kernel.shape[:-1]), kernel.shape[-1]))
        kernel.assign((left @ right.T / np.sqrt(len(left))).reshape(kernel.shape))
    return model


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    random = np.random.default_rng(1)
    images = random.random((200, SIDE, SIDE, 3)).astype(np.float32)
    np.savez(tmp_path / "pictures.npz", image=images, y=random.integers(0, 5, 200))
    return tmp_path / "pictures.npz"


def decomposed(model: Any, pictures: Path, folder: Path, **parameters: Any) -> Optimized:
    folder.mkdir(exist_ok=True)
    model.save(folder / "model.keras")
    return made(folder / "model.keras", pictures, folder / "made", "keras-decompose", **{**UNTIMED, **parameters})


def difference(model: Any, made: Optimized, pictures: Path) -> float:
    """The largest of the outputs' differences, as a share of the largest output."""
    images = np.load(pictures)["image"][:20]
    exact = model.predict(images, verbose=0)
    found = keras.models.load_model(made.artifact, compile=False).predict(images, verbose=0)
    return float(np.abs(found - exact).max() / np.abs(exact).max())


@pytest.mark.parametrize("sequential", [False, True], ids=["functional", "sequential"])
@pytest.mark.parametrize("ranks", [["body=channel:4", "hidden=channel:4"], ["body=spatial:12", "stem=tucker:8"]])
def test_layers_of_low_rank_are_replaced_without_loss(
    ranks: list[str], sequential: bool, pictures: Path, tmp_path: Path
) -> None:
    model = small(sequential=sequential)
    found = decomposed(model, pictures, tmp_path / "work", ranks=ranks)
    assert difference(model, found, pictures) < 1e-3
    assert sorted(found.result.parameters["ranks"]) == sorted(ranks)
    after = keras.models.load_model(found.artifact, compile=False)
    assert {rank.partition("=")[0] for rank in ranks} <= {layer.name for layer in after.layers}
    assert after.count_params() == found.result.model.parameters


def test_filters_of_single_channels_come_close_and_keep_stride_and_padding(pictures: Path, tmp_path: Path) -> None:
    """With many more components than channels, the alternating fit has little left to lose."""
    model = small()
    found = decomposed(model, pictures, tmp_path / "work", ranks=["body=cp:16", "stem=cp:6"])
    assert found.result.evidence["ranks"][0]["energy_kept"] > 0.9
    kinds = [type(layer).__name__ for layer in keras.models.load_model(found.artifact, compile=False).layers]
    assert kinds.count("DepthwiseConv2D") == 3
    assert difference(model, found, pictures) < 0.3


def test_work_is_removed_and_the_evidence_tells_where_and_what_is_left(pictures: Path, tmp_path: Path) -> None:
    model = small()
    found = decomposed(model, pictures, tmp_path / "work", removed=0.25)
    evidence = found.result.evidence
    assert 0.245 <= evidence["macs_removed"] < 0.5
    assert {row["name"] for row in evidence["ranks"]} <= {"stem", "body", "hidden", "out"}
    reasons = {one["name"]: one["reason"] for one in evidence["left"]}
    assert reasons["grouped"] == "it is a convolution in groups, which has little to share between channels"
    assert reasons["alone"] == "DepthwiseConv2D is not decomposed"
    assert difference(model, found, pictures) < 0.1
    again = decomposed(model, pictures, tmp_path / "again", ranks=found.result.parameters["ranks"])
    assert again.result.digest == found.result.digest


def test_bytes_can_be_the_budget(pictures: Path, tmp_path: Path) -> None:
    found = decomposed(small(), pictures, tmp_path / "work", removed=0.3, budget="bytes")
    assert found.result.evidence["parameters_after"] <= 0.705 * found.result.evidence["parameters_before"]
    assert found.result.size_bytes < 0.75 * found.result.input_size_bytes


def test_layers_are_timed_and_left_alone_where_factors_are_not_faster(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stopwatch runs as it is; that what it finds decides is shown by times that are given."""
    from apps.agents.backends.tensorflow.decomposition.measuring import KerasMeasurer

    measured: dict[str, list[float]] = {}
    really = KerasMeasurer.times_ms

    def slower(self: KerasMeasurer, factorizer: Any, factors: Any) -> list[float]:
        measured[factorizer.layer.name] = really(self, factorizer, factors)
        slow = 5.0 if factorizer.layer.name != "hidden" else 0.1
        return [1.0, *(slow for _ in factors)]

    monkeypatch.setattr(KerasMeasurer, "times_ms", slower)
    with pytest.raises(TechniqueNotApplicable, match="too little time saved"):
        decomposed(small(), pictures, tmp_path / "work", removed=0.5, timed=True)
    assert measured.keys() == {"stem", "body", "hidden", "out"}
    assert all(len(times) > 1 and min(times) > 0 for times in measured.values())
    assert not pays(Option("channel", 2, 50, 50, 0.1, time_ms=5.0), Option("", 0, 100, 100, 0.0, time_ms=1.0))


def test_rows_are_what_a_layer_multiplies_by_its_weight(pictures: Path) -> None:
    model = small()
    images = np.load(pictures)["image"][:3]
    for layer in layers_of(model).found:
        watched = keras.Model(model.inputs, [layer.source, layer.node.targets[0]])
        source, target = (np.asarray(one) for one in watched(images, training=False))
        rows = rows_read(layer, source, np.arange)[0]
        bias = layer.layer.bias.numpy() if layer.layer.use_bias else 0.0
        made = rows @ layer.dense.matrix.T + bias
        made = np.maximum(made, 0) if layer.layer.get_config()["activation"] == "relu" else made
        np.testing.assert_allclose(made, target.reshape(-1, target.shape[-1]), rtol=1e-3, atol=1e-3)


def test_weighing_by_the_inputs_loses_less_where_they_vary_in_few_directions(tmp_path: Path) -> None:
    """Inputs within three directions: three numbers are enough for outputs that have full rank otherwise."""
    random = np.random.default_rng(0)
    basis = random.normal(size=(3, 32))
    rows = (random.normal(size=(200, 3)) @ basis).astype(np.float32)
    np.savez(tmp_path / "rows.npz", x=rows, y=random.integers(0, 4, 200))
    given = keras.Input((32,), name="x")
    model = keras.Model(given, layers.Dense(4, name="out")(layers.Dense(48, activation="relu", name="wide")(given)))
    noise = {}
    for weighted in (True, False):
        folder = tmp_path / f"weighted-{weighted}"
        found = decomposed(model, tmp_path / "rows.npz", folder, ranks=["wide=channel:3"], weighted=weighted)
        after = keras.models.load_model(found.artifact, compile=False)
        exact, near = (one.predict(rows, verbose=0) for one in (model, after))
        noise[weighted] = float(np.square(exact - near).sum() / np.square(exact).sum())
    assert noise[True] < 1e-4
    assert noise[False] > 100 * noise[True]


def test_what_cannot_be_done_is_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(TechniqueParameters, match="not a layer that can be decomposed"):
        decomposed(small(), pictures, tmp_path / "unknown", ranks=["nowhere=channel:2"])
    given = keras.Input((SIDE, SIDE, 3), name="image")
    alone = keras.Model(given, layers.GlobalAveragePooling2D()(layers.DepthwiseConv2D(3, name="only")(given)))
    with pytest.raises(TechniqueNothingToDecompose, match="DepthwiseConv2D is not decomposed"):
        decomposed(alone, pictures, tmp_path / "nothing")
    shared = layers.Dense(3, name="shared")
    twice = keras.Model(given, layers.GlobalAveragePooling2D()(shared(shared(given))))
    with pytest.raises(TechniqueNothingToDecompose, match="shared between calls"):
        decomposed(twice, pictures, tmp_path / "twice")


def test_a_trained_network_keeps_its_accuracy_and_goes_on_to_litert(trained: Path, data: Path, tmp_path: Path) -> None:
    found = made(trained, data, tmp_path / "made", "keras-decompose", **{**UNTIMED, "removed": 0.3})
    assert found.result.evidence["macs_removed"] >= 0.295
    assert accuracy(found.artifact, data) > accuracy(trained, data) - 2
    exported = made(found.artifact, data, tmp_path / "exported", "litert-export")
    assert exported.artifact.suffix == ".tflite"
