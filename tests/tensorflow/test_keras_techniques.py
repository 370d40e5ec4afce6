"""Pruning and clustering on a small real network of each kind, trained here on real pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from apps.agents.backends.tensorflow.channels import wiring_of
from apps.agents.backends.tensorflow.filters import thinned
from apps.agents.backends.tensorflow.kernels import kernels_of
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable
from apps.agents.datasets.loading import ArrayDataset
from apps.agents.techniques.base import agent_for
from apps.agents.techniques.catalogue import BUILTIN
from apps.agents.techniques.spec import Family
from tests.tensorflow.keras_lessons import accuracy, made

# --- magnitude --------------------------------------------------------------------------------------------------------


def test_weights_become_zero_and_stay_so_while_the_others_learn(trained: Path, data: Path, tmp_path: Path):
    pruned = made(trained, data, tmp_path, "keras-magnitude-pruning", sparsity=0.8, epochs=2)

    kernels = [weight.numpy() for _, weight in kernels_of(keras.models.load_model(pruned.artifact, compile=False))]
    zeros = sum((kernel == 0).sum() for kernel in kernels) / sum(kernel.size for kernel in kernels)
    assert zeros == pytest.approx(0.8, abs=0.01)
    assert all((kernel == 0).mean() == pytest.approx(0.8, abs=0.05) for kernel in kernels if kernel.size > 200)
    assert any("trained again on 2000 examples" in check for check in pruned.result.checks)
    assert pruned.result.evidence["learned_from_examples"] == 2000
    assert pruned.result.evidence["zeros_share"] == pytest.approx(zeros)


def test_training_on_nothing_is_an_error_and_not_an_untrained_model(
    trained: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ArrayDataset, "training", lambda *_: iter(()))
    with pytest.raises(TechniqueNotApplicable, match="no examples to train on"):
        made(trained, data, tmp_path, "keras-magnitude-pruning", epochs=1)


def test_learning_again_wins_back_what_zeros_cost(trained: Path, data: Path, tmp_path: Path):
    whole = accuracy(trained, data)
    plain = made(trained, data, tmp_path / "plain", "keras-magnitude-pruning", sparsity=0.8, epochs=0)
    learned = made(
        trained, data, tmp_path / "learned", "keras-magnitude-pruning", sparsity=0.8, epochs=4, learning_rate=0.003
    )

    assert accuracy(plain.artifact, data) < whole - 20
    assert accuracy(learned.artifact, data) > max(whole - 20, accuracy(plain.artifact, data) + 20)


def test_sparsity_shrinks_only_what_is_compressed_and_it_is_said(trained: Path, data: Path, tmp_path: Path):
    pruned = made(trained, data, tmp_path, "keras-magnitude-pruning", sparsity=0.8, epochs=0)
    sizes = pruned.result.sizes

    assert pruned.result.size_bytes == pruned.result.input_size_bytes
    assert sizes["dense"] > pruned.result.size_bytes
    assert sizes["TensorFlow Lite"] > 2 * sizes["zipped TensorFlow Lite"]
    assert sizes["dense"] > 2 * sizes["zipped"]
    assert any(check.startswith("Bytes in each form: dense") for check in pruned.result.checks)


def test_the_model_as_a_whole_may_be_thinned_out_unevenly(trained: Path, data: Path, tmp_path: Path):
    pruned = made(trained, data, tmp_path, "keras-magnitude-pruning", sparsity=0.5, epochs=0, scope="model")

    kernels = [weight.numpy() for _, weight in kernels_of(keras.models.load_model(pruned.artifact, compile=False))]
    shares = [(kernel == 0).mean() for kernel in kernels]
    assert sum((kernel == 0).sum() for kernel in kernels) / sum(kernel.size for kernel in kernels) > 0.49
    assert max(shares) - min(shares) > 0.1


# --- filters ----------------------------------------------------------------------------------------------------------


def test_taking_channels_away_that_are_zero_changes_no_output(trained: Path, data: Path):
    """Every consumer's slice must be the right one, behind a norm, a sum, a depthwise filter and a flattened map."""
    model = keras.models.load_model(trained, compile=False)
    for name in ("first", "second", "wide", "hidden"):
        weights = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([np.where(np.arange(one.shape[-1]) % 3 == 0, 0, one) for one in weights])
    norm = next(layer for layer in model.layers if isinstance(layer, layers.BatchNormalization))
    gamma, beta, mean, variance = norm.get_weights()
    away = np.arange(16) % 3 == 0
    norm.set_weights([gamma, np.where(away, 0, beta), np.where(away, 0, mean), variance])
    deep = model.get_layer("deep")
    kernel, bias = deep.get_weights()
    deep.set_weights([kernel, np.where(away, 0, bias)])
    wiring = wiring_of(model)
    kept = {id(space): np.flatnonzero(np.arange(space.size) % 3) for space in wiring.spaces()}
    assert sorted(space.size for space in wiring.spaces()) == [16, 24, 32]

    thin = thinned(model, wiring, kept)

    images = np.load(data)["image"][:64]
    np.testing.assert_allclose(thin.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-4)
    assert thin.count_params() < 0.65 * model.count_params()


def test_fewer_filters_are_fewer_parameters_and_multiplications(trained: Path, data: Path, tmp_path: Path):
    whole = accuracy(trained, data)
    plain = made(trained, data, tmp_path / "plain", "keras-filter-pruning", share=0.5, epochs=0)
    learned = made(trained, data, tmp_path / "learned", "keras-filter-pruning", share=0.5, epochs=4)

    assert learned.result.size_bytes < 0.4 * learned.result.input_size_bytes
    assert any("multiply-accumulates per example instead of" in check for check in learned.result.checks)
    assert accuracy(learned.artifact, data) > accuracy(plain.artifact, data) + 10
    assert accuracy(learned.artifact, data) > whole - 8


def test_channels_that_cannot_be_followed_are_left_alone(tmp_path: Path, data: Path):
    given = keras.Input((28, 28, 1), name="image")
    turned = layers.Permute((3, 1, 2))(layers.Conv2D(8, 3, name="only")(given))
    model = keras.Model(given, layers.Dense(10)(layers.Flatten()(turned)))
    model.save(tmp_path / "model.keras")
    with pytest.raises(TechniqueNotApplicable, match="whose readers can all be found"):
        made(tmp_path / "model.keras", data, tmp_path / "made", "keras-filter-pruning")


# --- clusters ---------------------------------------------------------------------------------------------------------


def test_each_kernel_has_as_many_values_as_clusters_and_compresses(trained: Path, data: Path, tmp_path: Path):
    shared = made(trained, data, tmp_path, "keras-clustering", clusters=16)

    kernels = [weight.numpy() for _, weight in kernels_of(keras.models.load_model(shared.artifact, compile=False))]
    assert all(len(np.unique(kernel)) <= 16 for kernel in kernels)
    assert accuracy(shared.artifact, data) > accuracy(trained, data) - 3
    sizes = shared.result.sizes
    assert shared.result.size_bytes == shared.result.input_size_bytes
    assert sizes["dense"] > 3 * min(sizes["deflate"], sizes["zstandard"])
    assert sizes["TensorFlow Lite"] > 3 * sizes["zipped TensorFlow Lite"]


def test_a_layer_that_is_kept_keeps_its_weights(trained: Path, data: Path, tmp_path: Path):
    shared = made(trained, data, tmp_path, "keras-clustering", clusters=4, keep_float_nodes=["hidden"])
    before, after = (keras.models.load_model(path, compile=False) for path in (trained, shared.artifact))
    assert (before.get_layer("hidden").kernel.numpy() == after.get_layer("hidden").kernel.numpy()).all()
    assert len(np.unique(after.get_layer("logits").kernel.numpy())) <= 4


# --- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("technique", ["keras-filter-pruning", "keras-magnitude-pruning", "keras-clustering"])
def test_the_same_assignment_gives_the_same_bytes(technique: str, trained: Path, data: Path, tmp_path: Path):
    free = {} if technique == "keras-clustering" else {"epochs": 0}
    digests = {made(trained, data, tmp_path / name, technique, **free).result.digest for name in ("one", "two")}
    assert len(digests) == 1


@pytest.mark.parametrize(
    "spec", [spec for spec in BUILTIN if "tensorflow" in spec.requires], ids=lambda spec: spec.name
)
def test_every_technique_has_an_implementation_that_says_what_it_does(spec: Any):
    agent = agent_for(spec)
    assert type(agent).__doc__
    assert spec.family in (Family.EXPORT, Family.PRUNING, Family.COMPRESSION, Family.QUANTIZATION, Family.TRAINING)
