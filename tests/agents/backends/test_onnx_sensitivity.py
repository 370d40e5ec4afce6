from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from apps.agents.analysis.engine import Sensitivity
from apps.agents.backends.onnx import sensitivity
from apps.agents.backends.onnx.fake_quantization import (
    affine_grid,
    on_affine_grid,
    on_signed_grid,
    quantizable_nodes,
    quantized_variant,
)
from apps.agents.backends.onnx.observation import FLOAT32_MAX, Observation, Range, observe
from apps.agents.backends.onnx.sensitivity import measure_sensitivity
from apps.agents.backends.onnx.split_model import SplitModel, fold, name_nodes
from apps.agents.contracts.errors.running import ModelNotLoadable
from apps.agents.evaluation.sqnr import SQNR_LIMIT_DB, sqnr_db
from tests.agents import graphs


def _split(model: graphs.ModelProto, tmp_path: Path) -> SplitModel:
    return SplitModel(graphs.save(model, tmp_path / "m.onnx"), threads=1)


def _measured(
    model: graphs.ModelProto, feeds: dict[str, graphs.Array], tmp_path: Path, budget_s: float = 60
) -> Sensitivity:
    split = _split(model, tmp_path)
    order = [node.name for node in split.proto.graph.node]
    seen = observe(split, [feeds])
    return measure_sensitivity(split, seen, [feeds], order, budget_s=budget_s, tell=lambda *_: None)


def _features(examples: int = 16) -> dict[str, graphs.Array]:
    return {"x": graphs.rng().normal(size=(examples, 8)).astype(np.float32)}


def _with_fragile_layer(opset: int = graphs.OPSET) -> graphs.ModelProto:
    """Four products. Before the third a feature of 10,000 is added that its weights ignore: no grid holds both."""
    random = graphs.rng()
    weights = {f"w{i}": random.normal(size=(8, 8), scale=0.35).astype(np.float32) for i in range(4)}
    weights["w2"][0] = 0
    weights["outlier"] = np.array([10_000, 0, 0, 0, 0, 0, 0, 0], np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["h0"], name="sturdy0"),
        helper.make_node("MatMul", ["h0", "w1"], ["h1"], name="sturdy1"),
        helper.make_node("Add", ["h1", "outlier"], ["h2"], name="outlier"),
        helper.make_node("MatMul", ["h2", "w2"], ["h3"], name="fragile"),
        helper.make_node("MatMul", ["h3", "w3"], ["y"], name="sturdy3"),
    ]
    return graphs.model_of(nodes, [graphs.value("x", "N", 8)], [graphs.value("y", "N", 8)], weights, opset=opset)


# --- what comes out --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opset", [9, graphs.OPSET])
def test_the_layer_that_was_made_fragile_is_found(tmp_path: Path, opset: int) -> None:
    """Also in a model older than QuantizeLinear."""
    found = _measured(_with_fragile_layer(opset), _features(), tmp_path)
    assert not found.notes
    products = {name: found.layers[name] for name in ("sturdy0", "sturdy1", "fragile", "sturdy3")}
    assert min(products, key=products.__getitem__) == "fragile"
    assert products["fragile"] < 5
    assert all(noise > 30 for name, noise in products.items() if name != "fragile")


@pytest.mark.parametrize("mask", [-1e9, -3.4e38])
def test_adding_a_huge_mask_is_the_most_sensitive_type_beside_its_softmax(tmp_path: Path, mask: float) -> None:
    found = _measured(graphs.attention(mask), graphs.attention_feeds(), tmp_path)
    ranking = [entry.op_type for entry in found.operators]
    by_type = {entry.op_type: entry.sqnr_db for entry in found.operators}
    assert ranking[0] in ("Add", "Softmax")
    assert set(ranking[:2]) == {"Add", "Softmax"}
    assert by_type["Add"] < 10 < by_type["MatMul"] - 10
    assert found.layers["mask"] == by_type["Add"]


def test_types_are_counted_and_a_single_node_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    judged = sensitivity._Judge.sqnr_db
    monkeypatch.setattr(sensitivity._Judge, "sqnr_db", lambda self, names: asked.append(names) or judged(self, names))
    found = _measured(graphs.perceptron(), {"x": np.ones((4, 4), np.float32)}, tmp_path)
    assert {(entry.op_type, entry.count) for entry in found.operators} == {("Gemm", 2), ("Relu", 1)}
    assert set(found.layers) == {"first", "second", "relu"}
    assert asked == [("relu",), ("first", "second"), ("first",), ("second",)]


def test_when_the_time_is_over_the_rest_stays_unknown_and_is_counted(tmp_path: Path) -> None:
    found = _measured(_with_fragile_layer(), _features(), tmp_path, budget_s=0)
    assert len(found.operators) == 1
    assert found.notes == ["The time for sensitivity (0 s) ran out before 1 operator type and 4 layers were measured."]


def test_progress_has_an_estimate_from_the_second_experiment_on(tmp_path: Path) -> None:
    told: list[tuple[float, str, float | None]] = []
    split = _split(_with_fragile_layer(), tmp_path)
    ticks = iter(range(1000))
    measure_sensitivity(
        split,
        observe(split, [_features()]),
        [_features()],
        ["fragile", "sturdy0"],
        budget_s=60,
        tell=lambda *news: told.append(news),
        clock=lambda: float(next(ticks)),
    )
    assert [fraction for fraction, _, _ in told] == [0, 0.25, 0.5, 0.75]
    assert told[0][2] is None
    assert [eta for _, _, eta in told[1:]] == [6, 3, pytest.approx(4 / 3)]
    assert told[-1][1] == "Sensitivity of sturdy0"


def test_integer_outputs_are_judged_by_the_float_tensor_before_them(tmp_path: Path) -> None:
    ids = {"ids": graphs.rng().integers(0, 20, (8, 5))}
    found = _measured(graphs.table(), ids, tmp_path)
    assert "not in float32" in found.notes[0]
    assert 20 < found.layers["embed"] < SQNR_LIMIT_DB


def test_a_model_without_float_operators_gets_a_note(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "x"], ["y"], name="add")]
    ends = [graphs.value(name, "N", dtype=TensorProto.INT64) for name in ("x", "y")]
    found = _measured(graphs.model_of(nodes, ends[:1], ends[1:]), {"x": np.ones(3, np.int64)}, tmp_path)
    assert not found.layers
    assert "no float32 operator" in found.notes[0]


def test_an_experiment_that_the_runtime_refuses_leaves_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(judge: object, names: tuple[str, ...]) -> float:
        if "fragile" in names:
            raise ModelNotLoadable(reason="ambiguous array")
        return 40.0

    monkeypatch.setattr(sensitivity._Judge, "sqnr_db", refuse)
    found = _measured(_with_fragile_layer(), _features(), tmp_path)
    assert set(found.layers) == {"outlier", "sturdy0", "sturdy1", "sturdy3"}
    assert "refused 2 experiments: every MatMul (ambiguous array)" in found.notes[0]


def test_decibels_are_clipped_and_a_broken_output_is_the_worst() -> None:
    assert sqnr_db(100, 1) == pytest.approx(20)
    assert sqnr_db(1, 0) == SQNR_LIMIT_DB
    assert sqnr_db(0, 1) == sqnr_db(1, float("nan")) == sqnr_db(1, float("inf")) == -SQNR_LIMIT_DB


# --- grids -----------------------------------------------------------------------------------------------------------


def test_the_affine_grid_has_zero_on_it_and_reaches_both_ends() -> None:
    scale, zero = affine_grid(Range(-1.0, 4.1))
    assert scale == pytest.approx(5.1 / 255)
    assert zero == 50
    assert affine_grid(Range(2.0, 5.1)) == (pytest.approx(5.1 / 255), 0)
    assert affine_grid(Range(0.0, 0.0)) == (1, 0)
    assert np.isfinite(affine_grid(Range(-FLOAT32_MAX, FLOAT32_MAX))[0])


def test_weights_are_rounded_channel_by_channel() -> None:
    weight = np.array([[1.0, 100.0], [0.004, 50.2]], np.float32)
    columns = on_signed_grid(weight, axis=-1)
    np.testing.assert_allclose(columns[:, 0], [1, 1 / 127], rtol=1e-6)
    assert on_signed_grid(weight, axis=None)[1, 0] == 0
    assert np.abs(columns - weight).max(axis=0) == pytest.approx([0.0039, 0.2], abs=0.3)
    assert not on_signed_grid(np.zeros((2, 2), np.float32), axis=0).any()


def test_a_table_is_rounded_to_within_half_a_step() -> None:
    values = graphs.rng().normal(size=(40, 3)).astype(np.float32)
    step = (values.max() - values.min()) / 255
    assert np.abs(on_affine_grid(values) - values).max() <= step / 2 * 1.001


# --- the variant -----------------------------------------------------------------------------------------------------


def test_an_output_that_only_activations_read_is_quantized_behind_them(tmp_path: Path) -> None:
    split = _split(graphs.convolutions(), tmp_path)
    seen = observe(split, [{"x": graphs.rng().normal(size=(2, 3, 8, 8)).astype(np.float32)}])
    variant = quantized_variant(split, {"stem"}, seen.ranges)
    quantized = [node.input[0] for node in variant.proto.graph.node if node.op_type == "QuantizeLinear"]
    assert quantized == ["x", "r1/float"]


def test_a_weight_that_two_layers_share_is_rounded_for_one_of_them(tmp_path: Path) -> None:
    weights = {"w": graphs.rng().normal(size=(8, 8)).astype(np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="first"),
        helper.make_node("MatMul", ["h", "w"], ["y"], name="again"),
    ]
    split = _split(graphs.model_of(nodes, [graphs.value("x", "N", 8)], [graphs.value("y", "N", 8)], weights), tmp_path)
    variant = quantized_variant(split, {"first"}, observe(split, [_features()]).ranges)
    by_name = {node.name: list(node.input) for node in variant.proto.graph.node}
    assert by_name["again"] == ["h", "w"]
    assert by_name["first"][1] in variant.added


def test_a_variant_with_nothing_quantized_computes_the_same(tmp_path: Path) -> None:
    split = _split(graphs.attention(), tmp_path)
    feeds = graphs.attention_feeds()
    variant = quantized_variant(split, (), observe(split, [feeds]).ranges)
    outputs = [split.session(proto).run(None, feeds)[0] for proto in (split.copy(), variant.proto)]
    np.testing.assert_array_equal(*outputs)


def test_quantizing_a_layer_changes_its_output_by_about_a_step(tmp_path: Path) -> None:
    split = _split(graphs.perceptron(), tmp_path)
    feeds = {"x": graphs.rng().normal(size=(16, 4)).astype(np.float32)}
    seen = observe(split, [feeds])
    variant = quantized_variant(split, {"second"}, seen.ranges)
    exact, rounded = (
        split.session(proto, added).run(None, feeds)[0]
        for proto, added in ((split.copy(), None), (variant.proto, variant.added))
    )
    step = float(affine_grid(seen.ranges["y"])[0])
    assert 0 < np.abs(exact - rounded).max() < 5 * step


# --- the split model and the observation -----------------------------------------------------------------------------


def test_an_observation_holds_shapes_and_ranges_over_all_batches(tmp_path: Path) -> None:
    split = _split(graphs.table(), tmp_path)
    seen = observe(split, [{"ids": np.array([[1] * 5])}, {"ids": np.array([[2] * 5])}])
    table = split.array("table")
    assert table is not None
    assert seen.shapes["e"] == (1, 5, 8)
    assert seen.shapes["ids"] == (1, 5)
    assert set(seen.ranges) == {"e", "m"}
    assert seen.ranges["e"] == Range(float(table[1:3].min()), float(table[1:3].max()))
    assert (seen.examples, seen.examples_per_batch) == (2, 1)


def test_infinities_count_as_the_largest_number_and_are_remembered() -> None:
    seen = Observation()
    seen.add("a", np.array([-np.inf, 2], np.float32))
    seen.add("b", np.array([np.nan], np.float32))
    seen.add("c", np.array([], np.float32))
    assert seen.ranges == {"a": Range(-FLOAT32_MAX, 2)}
    assert seen.not_finite == {"a", "b"}


def test_folding_computes_constants_and_merges_norms(tmp_path: Path) -> None:
    ones = np.ones(4, np.float32)
    weights = {"w": np.ones((4, 3, 1, 1), np.float32), "s": ones, "b": ones, "m": ones, "v": ones}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]),
        helper.make_node("Relu", ["n"], ["y"]),
    ]
    model = graphs.model_of(nodes, [graphs.value("x", "N", 3, 2, 2)], [graphs.value("y", "N", 4, 2, 2)], weights)
    split = SplitModel(fold(graphs.save(model, tmp_path / "m.onnx"), tmp_path / "f.onnx"), threads=1)
    assert [node.op_type for node in split.proto.graph.node] == ["Conv", "Relu"]
    assert len({node.name for node in split.proto.graph.node} - {""}) == 2


def test_nodes_get_unique_names() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"], name=name) for name in ("a", "", "a", "")]
    assert name_nodes(nodes) == 3
    assert [node.name for node in nodes] == ["a", "Relu_1", "Relu_2", "Relu_3"]


def test_a_split_model_takes_external_data(tmp_path: Path) -> None:
    split = SplitModel(graphs.save_external(graphs.attention(), tmp_path), threads=1)
    session = split.session(split.copy())
    inside = _split(graphs.attention(), tmp_path)
    feeds = graphs.attention_feeds()
    np.testing.assert_array_equal(session.run(None, feeds)[0], inside.session(inside.copy()).run(None, feeds)[0])


def test_integers_and_types_that_only_move_data_are_not_quantized(tmp_path: Path) -> None:
    split = _split(graphs.attention(), tmp_path)
    seen = observe(split, [graphs.attention_feeds()])
    assert {node.op_type for node in quantizable_nodes(split, seen.ranges)} == {"MatMul", "Mul", "Add", "Softmax"}
