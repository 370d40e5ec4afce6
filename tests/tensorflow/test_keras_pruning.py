"""Structured pruning of Keras models: which channels go together, what is left, and how well layers are fitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from apps.agents.backends.tensorflow.analysis import TensorFlowAnalysisEngine
from apps.agents.backends.tensorflow.loading import keras_model
from apps.agents.backends.tensorflow.pruning.anatomy import KerasAnatomy, examine, workload_of
from apps.agents.backends.tensorflow.pruning.compensation import Compensation, fitted_layers
from apps.agents.backends.tensorflow.pruning.flow import Flow
from apps.agents.backends.tensorflow.pruning.surgery import cut
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable, TechniqueNothingToPrune
from apps.agents.contracts.formats import Format
from apps.agents.techniques.base import Optimized
from apps.agents.techniques.channel_pruning.groups import everything, without
from tests.tensorflow.keras_lessons import accuracy, made

SIDE = 8


def many_kinds() -> Any:
    """Every kind of layer that channels are followed through, with weights that are not at their initial values."""
    given = keras.Input((SIDE, SIDE, 3), name="image")
    stem = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(given)
    stem = layers.Activation("relu")(layers.BatchNormalization(name="norm")(stem))
    left = layers.SeparableConv2D(8, 3, padding="same", depth_multiplier=2, activation="relu", name="left")(stem)
    joined = layers.Add(name="sum")([stem, left])
    gate = layers.Reshape((1, 1, 8))(layers.Dense(8, activation="sigmoid", name="gate")(pooled(joined)))
    scaled = layers.Multiply()([joined, gate])
    deep = layers.DepthwiseConv2D(3, depth_multiplier=2, name="deep")(scaled)
    wide = layers.PReLU(shared_axes=(1, 2))(layers.Conv2D(12, 3, strides=2, name="wide")(deep))
    lined_up = layers.Concatenate()([wide, layers.AveragePooling2D(4)(stem)])
    flat = layers.Flatten()(layers.ZeroPadding2D(1)(lined_up))
    series = layers.Conv1D(6, 2, activation="relu", name="series")(layers.Reshape((-1, 20))(lined_up))
    both = layers.Concatenate()([layers.Dense(10, activation="relu", name="hidden")(flat), pooled_series(series)])
    model = keras.Model(given, layers.Dense(4, activation="softmax", name="out")(both))
    random = np.random.default_rng(0)
    model.set_weights([np.abs(one) + 0.3 * random.random(one.shape).astype(np.float32) for one in model.get_weights()])
    return model


def pooled(tensor: Any) -> Any:
    return layers.GlobalAveragePooling2D()(tensor)


def pooled_series(tensor: Any) -> Any:
    return layers.GlobalMaxPooling1D()(tensor)


@pytest.fixture(scope="module")
def anatomy() -> KerasAnatomy:
    keras.utils.set_random_seed(1)
    return examine(many_kinds())


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(2).random((64, SIDE, SIDE, 3)).astype(np.float32)


def flow(anatomy: KerasAnatomy, pictures: np.ndarray) -> Flow:
    inputs = keras_model(anatomy.trace.model, Format.KERAS, "").summary.inputs
    return Flow(inputs, lambda count: iter([{"image": pictures[:count]}]), len(pictures))


def halved(anatomy: KerasAnatomy) -> Any:
    """What stays when each group loses every other channel."""
    kept = everything(anatomy.trace)
    for group in anatomy.cuttable:
        kept = without(anatomy.trace, kept, group.roots[::2])
    return kept


def outputs(model: Any, pictures: np.ndarray) -> np.ndarray:
    return np.asarray(model(pictures, training=False))


# --- channels ---------------------------------------------------------------------------------------------------------


def test_channels_that_are_added_are_cut_together_and_outputs_stay(anatomy: KerasAnatomy):
    assert [(group.name, group.width) for group in anatomy.cuttable] == [
        ("stem + left/depthwise + left + gate + deep", 8),
        ("wide", 12),
        ("series", 6),
        ("hidden", 10),
    ]
    assert [(group.name, group.reason) for group in anatomy.uncut] == [
        ("out", "goes into the softmax of out, which mixes channels")
    ]


def test_with_nothing_removed_it_is_the_same_function(anatomy: KerasAnatomy, pictures: np.ndarray):
    model = cut(anatomy.trace, everything(anatomy.trace))
    np.testing.assert_array_equal(outputs(model, pictures), outputs(anatomy.trace.model, pictures))


def test_what_is_left_is_what_was_predicted(anatomy: KerasAnatomy):
    kept = halved(anatomy)
    widths = {group.name: group.width // 2 for group in anatomy.cuttable}
    counted, predicted = workload_of(cut(anatomy.trace, kept)), anatomy.left(widths, kept)
    assert (predicted.macs, predicted.parameters) == (counted.macs, counted.parameters)
    assert counted.macs < 0.5 * anatomy.whole.macs


def test_channels_without_information_are_removed_without_loss(pictures: np.ndarray):
    """Each reader's slice must be the right one, behind norms, sums, filters, reshapes and concatenations."""
    model = many_kinds()
    anatomy = examine(model)
    kept = halved(anatomy)
    for layer in model.layers:
        silent = {cut.weight: cut for cut in anatomy.trace.cuts.get(layer.name, ())}
        for variable in layer.weights:
            if variable.name in silent:
                variable.assign(muted(variable.numpy(), variable.name, anatomy, layer.name, kept))
    np.testing.assert_allclose(
        outputs(cut(anatomy.trace, kept), pictures), outputs(model, pictures), rtol=1e-4, atol=1e-6
    )


def muted(array: np.ndarray, name: str, anatomy: KerasAnatomy, layer: str, kept: Any) -> np.ndarray:
    """A variable with zeros for channels that go; readers ignore them, whatever they are."""
    for one in anatomy.trace.cuts[layer]:
        if one.weight == name:
            shape = [1] * array.ndim
            shape[one.axis] = len(one.ids)
            array = array * kept[one.ids].reshape(shape)
    return array


# --- compensation -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both(trained: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Optimized, Optimized]:
    """Cut and fitted, and cut alone."""
    folder = tmp_path_factory.mktemp("both")
    asked = {"macs_removed": 0.5, "calibration_examples": 96}
    return (
        made(trained, data, folder / "fitted", "keras-prune", **asked),
        made(trained, data, folder / "cut", "keras-prune", compensate=False, **asked),
    )


def test_fitting_recovers_most_of_what_a_cut_costs(both: tuple[Optimized, Optimized], trained: Path, data: Path):
    fitted, plain = (accuracy(one.artifact, data) for one in both)
    whole = accuracy(trained, data)
    assert whole - fitted < 0.5 * (whole - plain)
    errors = {one["name"]: (one["error_before"], one["error"]) for one in both[0].result.evidence["fitted"]}
    assert set(errors) == {"second", "deep", "wide", "hidden", "logits"}
    assert all(after <= before for before, after in errors.values())
    assert errors["second"][1] < 0.2 * errors["second"][0]


def test_the_target_is_met_and_counted_on_the_artifact(both: tuple[Optimized, Optimized]):
    evidence = both[0].result.evidence
    assert evidence["macs_removed"] >= 0.5
    assert evidence["macs_after"] == workload_of(keras.models.load_model(both[0].artifact, compile=False)).macs
    assert all(group["kept"] % 8 == 0 for group in evidence["groups"])
    assert ["logits", 10, 10] in evidence["channels_by_layer"]


def test_a_share_of_the_weights_is_removed_as_well_and_the_same_twice(trained: Path, data: Path, tmp_path: Path):
    asked = {"weights_removed": 0.6, "macs_removed": 0.3, "calibration_examples": 32, "allocation": "uniform"}
    one, two = (made(trained, data, tmp_path / name, "keras-prune", **asked) for name in ("one", "two"))
    evidence = one.result.evidence
    assert evidence["parameters_after"] < 0.42 * evidence["parameters_before"]
    assert one.result.digest == two.result.digest


def test_a_fit_to_a_repeated_channel_loses_nothing(pictures: np.ndarray):
    """Half of the channels are copies of the others, so readers can be told to take the originals twice."""
    given = keras.Input((SIDE, SIDE, 3), name="image")
    first = layers.Conv2D(8, 3, activation="relu", name="first")
    second = layers.SeparableConv2D(6, 3, use_bias=False, activation="relu", name="second")
    model = keras.Model(given, layers.Dense(2, name="out")(pooled(second(first(given)))))
    kernel, bias = first.get_weights()
    first.set_weights([kernel[..., [0, 0, 1, 1, 2, 2, 3, 3]], bias])
    filters, points = second.get_weights()
    second.set_weights([filters[:, :, [0, 0, 1, 1, 2, 2, 3, 3]], points])
    anatomy = examine(model)
    group = next(one for one in anatomy.cuttable if one.name.startswith("first"))
    kept = without(anatomy.trace, everything(anatomy.trace), group.roots[::2])
    fitted = fitted_layers(anatomy.trace, kept)
    assert [layer.name for layer in fitted] == ["second", "out"]
    thin = cut(anatomy.trace, kept, {layer.node.name for layer in fitted})
    Compensation(anatomy.trace, kept, thin, flow(anatomy, pictures), 0.0, fitted).run(lambda share, what: None)
    np.testing.assert_allclose(outputs(thin, pictures), outputs(model, pictures), rtol=1e-3, atol=1e-4)


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_what_cannot_be_cut_is_named(tmp_path: Path, data: Path):
    given = keras.Input((28, 28, 1), name="image")
    turned = layers.Permute((3, 1, 2), name="turn")(layers.Conv2D(8, 3, name="only")(given))
    twice = layers.Dense(6, name="twice")
    grouped = layers.Conv2D(8, 3, groups=2, name="grouped")(layers.Conv2D(4, 3, name="before")(given))
    ends = [layers.Flatten()(turned), layers.Flatten()(twice(twice(layers.Dense(6, name="to_twice")(given))))]
    ends.append(layers.Flatten()(grouped))
    model = keras.Model(given, layers.Dense(10, name="logits")(layers.Concatenate()(ends)))
    reasons = {group.name: group.reason for group in examine(model).uncut}
    assert reasons == {
        "only": "goes into turn, a layer (Permute) whose channels cannot be followed",
        "before": "goes into grouped, a convolution in 2 groups",
        "to_twice": "goes into twice, which is used more than once",
        "logits": "goes to the model's output",
    }
    model.save(tmp_path / "model.keras")
    told = TensorFlowAnalysisEngine(tmp_path / "model.keras", tmp_path).hindrances([])
    assert told["keras-prune"].startswith("No channels of it can be cut: ")
    assert "only goes into turn, a layer (Permute) whose channels cannot be followed" in told["keras-prune"]
    with pytest.raises(TechniqueNothingToPrune, match=r"only goes into turn, a layer \(Permute\)"):
        made(tmp_path / "model.keras", data, tmp_path / "made", "keras-prune")


def test_more_than_multiples_allow_is_refused(trained: Path, data: Path, tmp_path: Path):
    with pytest.raises(TechniqueNotApplicable, match="in multiples of 16 at most"):
        made(trained, data, tmp_path, "keras-prune", multiple_of=16, macs_removed=0.9)
