"""A data set that fits a model in its shapes only is refused before anything is tried, with the mistake in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from apps.agents.analysis.dataset_match import refuse_chance
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.datasets import ModelAtChance
from apps.agents.datasets.loading import load_dataset
from apps.agents.measuring.engine import open_engine
from tests.agents import graphs
from tests.agents.told import Told

EXAMPLES = 300
Array = np.ndarray


def random() -> np.random.Generator:
    return np.random.default_rng(5)


def linear(weights: Array, bias: Array, shape: tuple[int, ...]) -> bytes:
    """`[n, *shape]` → Flatten → Gemm → `[n, outputs]`."""
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "w", "b"], ["out"], name="gemm"),
    ]
    stored = {"w": weights.astype(np.float32), "b": bias.astype(np.float32)}
    ends = [graphs.value("x", "n", *shape)], [graphs.value("out", "n", weights.shape[1])]
    return graphs.model_of(nodes, *ends, stored).SerializeToString()


def asked(folder: Path, model: bytes, x: Array, y: Array, task: str = "classification", **more: Any) -> tuple[str, ...]:
    """What the check says of a data set with the inputs `x` and the labels `y`."""
    (folder / "m.onnx").write_bytes(model)
    np.savez(folder / "d.npz", x=x.astype(np.float32), y=y)
    spec = DatasetSpec(kind="npz", task=task, **more)
    engine = open_engine("onnx", folder / "m.onnx", folder)
    summary = engine.summary
    dataset = load_dataset(folder / "d.npz", spec, summary.inputs, 1, outputs=summary.outputs)
    return refuse_chance(engine.session(Criteria().target), summary, dataset, Criteria(), Told())


def refused(folder: Path, *arguments: Any, **more: Any) -> str:
    with pytest.raises(ModelAtChance) as caught:
        asked(folder, *arguments, **more)
    return caught.value.message


X = random().normal(size=(EXAMPLES, 6)).astype(np.float32)
WEIGHTS = random().normal(size=(6, 3))
CLASSIFIER = linear(WEIGHTS, np.zeros(3), (6,))
Y = (X @ WEIGHTS).argmax(1)


@pytest.mark.parametrize("noise", [0, 30, 60])
def test_a_model_that_knows_its_data_is_left_alone(tmp_path: Path, noise: int) -> None:
    labels = Y.copy()
    chosen = random().permutation(EXAMPLES)[: EXAMPLES * noise // 100]
    labels[chosen] = random().integers(0, 3, len(chosen))
    assert asked(tmp_path, CLASSIFIER, X, labels) == ()


@pytest.mark.parametrize("seed", range(5))
def test_labels_at_random_are_found_out(tmp_path: Path, seed: int) -> None:
    """Nothing can be named that would mend them, so it is said, and the session may go on for size and speed."""
    (told,) = asked(tmp_path, CLASSIFIER, X, np.random.default_rng(seed).integers(0, 3, EXAMPLES))
    assert told.startswith("On 192 examples the model is right on")
    assert "No other order of the classes explains it, and no usual scale of the inputs does." in told
    assert told.endswith("Until then, its accuracy means nothing.")


def test_a_change_that_the_model_cannot_run_on_explains_nothing(tmp_path: Path) -> None:
    """Indices that are kept as floats, as Keras takes them, are no numbers to be scaled."""
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "i"], ["rows"]),
        helper.make_node("ReduceSum", ["rows", "axis"], ["out"], keepdims=0),
    ]
    table = random().normal(size=(9, 3)).astype(np.float32)
    stored = {"table": table, "axis": np.array([1])}
    model = graphs.model_of(nodes, [graphs.value("x", "n", 4)], [graphs.value("out", "n", 3)], stored)
    words = random().integers(0, 9, (EXAMPLES, 4))
    labels = random().permutation(table[words].sum(1).argmax(1))
    assert len(asked(tmp_path, model.SerializeToString(), words, labels)) == 1


def test_an_order_of_the_classes_that_explains_it_is_written_down(tmp_path: Path) -> None:
    names = np.array(["cat", "ant", "bee"])
    message = refused(tmp_path, CLASSIFIER, X, names[Y])
    assert "With the classes in another order it would be right on 100 %: name the classes as cat, ant, bee." in message
    assert asked(tmp_path, CLASSIFIER, X, names[Y], classes=tuple(names.tolist())) == ()


def test_two_classes_the_wrong_way_round_are_seen(tmp_path: Path) -> None:
    model = linear(WEIGHTS[:, :1], np.zeros(1), (6,))
    message = refused(tmp_path, model, X, (X @ WEIGHTS[:, 0] < 0).astype(np.int64))
    assert "name the classes as 1, 0" in message


def test_labels_counted_from_elsewhere_are_seen(tmp_path: Path) -> None:
    weights = random().normal(size=(6, 12))
    model = linear(weights, np.zeros(12), (6,))
    labels = (X @ weights)[:, :10].argmax(1)
    forced = linear(weights, np.where(np.arange(12) < 10, 0, -1e3), (6,))
    assert "With each label one less it would be right on 100 %" in refused(tmp_path, forced, X, labels + 1)
    assert asked(tmp_path, model, X, (X @ weights).argmax(1)) == ()


PIXELS = random().uniform(0, 255, size=(EXAMPLES, 3, 4, 4)).astype(np.float32)
PIXEL_WEIGHTS = random().normal(size=(48, 3))


def prepared(change: Any) -> tuple[bytes, Array]:
    """A classifier of pixels that are prepared by `change`, fussy about their level, and what it says."""
    right = change(PIXELS)
    flat = right.reshape(EXAMPLES, -1)
    weights = PIXEL_WEIGHTS / flat.std()
    bias = -(flat @ weights).mean(0)
    return linear(weights, bias, (3, 4, 4)), (flat @ weights + bias).argmax(1)


MEAN, STD = (np.reshape(values, (3, 1, 1)) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


@pytest.mark.parametrize(
    ("meant", "given", "says"),
    [
        (lambda x: x, lambda x: x / 255, "With inputs 255 times larger"),
        (lambda x: x / 255, lambda x: x, "With inputs 255 times smaller"),
        (lambda x: x / 127.5 - 1, lambda x: x, "With inputs from -1 to 1 instead of 0 to 255"),
        (lambda x: x / 127.5 - 1, lambda x: x / 255, "With inputs from -1 to 1 instead of 0 to 1"),
        (lambda x: x / 255, lambda x: x / 127.5 - 1, "With inputs from 0 to 1 instead of -1 to 1"),
        (lambda x: x / 255, lambda x: 1 - x / 255, "With black and white exchanged"),
        (lambda x: x / 255, lambda x: x[:, ::-1] / 255, "With red and blue exchanged"),
    ],
)
def test_a_mistake_in_the_inputs_is_named(tmp_path: Path, meant: Any, given: Any, says: str) -> None:
    model, labels = prepared(meant)
    assert asked(tmp_path, model, meant(PIXELS), labels) == ()
    try:
        told = " ".join(asked(tmp_path, model, given(PIXELS), labels))
    except ModelAtChance as error:
        told = error.message
    assert says in told
    assert "it would be right on 100 %" in told


def test_a_table_that_was_not_standardized_is_named(tmp_path: Path) -> None:
    raw = X * np.array([1, 10, 100, 1, 10, 100]) + np.array([50, -300, 9, 7, 800, 3000])
    standard = (raw - raw.mean(0)) / raw.std(0)
    message = refused(tmp_path, CLASSIFIER, raw, (standard @ WEIGHTS).argmax(1))
    assert "With each feature standardized it would be right on" in message


def test_few_or_lopsided_examples_are_no_proof(tmp_path: Path) -> None:
    few = asked(tmp_path, CLASSIFIER, X[:24], random().integers(0, 3, 24))
    assert len(few) == 1
    assert "Check that the data set belongs to this model" in few[0]
    rare = np.zeros(EXAMPLES, np.int64)
    rare[:3] = 1
    assert len(asked(tmp_path, linear(WEIGHTS[:, :1], np.full(1, -50.0), (6,)), X, rare)) == 1
    assert asked(tmp_path, CLASSIFIER, X, np.zeros(EXAMPLES, np.int64)) == ()


def test_scores_that_know_more_than_their_threshold_are_no_chance(tmp_path: Path) -> None:
    """A detector of something rare may never reach one half and still rank well."""
    scores = X @ WEIGHTS[:, 0]
    labels = (scores > np.quantile(scores, 0.8)).astype(np.int64)
    model = linear(WEIGHTS[:, :1], np.full(1, -50.0), (6,))
    assert len(asked(tmp_path, model, X, labels)) == 1


# --- regression -------------------------------------------------------------------------------------------------------

REGRESSOR = linear(WEIGHTS[:, :1], np.full(1, 2.0), (6,))
VALUES = X @ WEIGHTS[:, 0] + 2


def test_a_regressor_that_explains_something_is_left_alone(tmp_path: Path) -> None:
    noise = random().normal(size=EXAMPLES) * VALUES.std()
    assert asked(tmp_path, REGRESSOR, X, VALUES + noise, "regression") == ()
    assert asked(tmp_path, REGRESSOR, X, np.ones(EXAMPLES), "regression") == ()


def test_values_at_random_are_found_out(tmp_path: Path) -> None:
    (told,) = asked(tmp_path, REGRESSOR, X, random().normal(size=EXAMPLES), "regression")
    assert "worse than always answering the mean of the labels" in told
    assert "correlation" in told
    assert told.endswith("Until then, its accuracy means nothing.")


def test_values_on_another_scale_are_named(tmp_path: Path) -> None:
    assert "labels are about 10 × the output" in refused(tmp_path, REGRESSOR, X, 10 * VALUES + 40, "regression")
    assert "With inputs 255 times smaller R² would be 1" in refused(tmp_path, REGRESSOR, X * 255, VALUES, "regression")


def test_fidelity_asks_for_no_labels(tmp_path: Path) -> None:
    assert asked(tmp_path, CLASSIFIER, X, random().integers(0, 3, EXAMPLES), "fidelity") == ()
