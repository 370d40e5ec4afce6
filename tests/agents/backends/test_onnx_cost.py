from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from apps.agents.backends.onnx.cost import LayerCost, element_bits, layer_costs, macs_of, stored_tensors
from apps.agents.backends.onnx.observation import observe
from apps.agents.backends.onnx.split_model import SplitModel
from tests.agents import graphs


def _costs(model: graphs.ModelProto, feeds: dict[str, graphs.Array], tmp_path: Path) -> dict[str, LayerCost]:
    split = SplitModel(graphs.save(model, tmp_path / "m.onnx"), threads=1)
    seen = observe(split, [feeds])
    return {cost.name: cost for cost in layer_costs(split.proto, seen.shapes, seen.examples_per_batch)}


@pytest.mark.parametrize("examples", [1, 3])
def test_costs_of_a_network_are_those_worked_out_by_hand(tmp_path: Path, examples: int) -> None:
    feeds = {"x": np.ones((examples, 3, 8, 8), np.float32)}
    costs = _costs(graphs.convolutions(), feeds, tmp_path)
    assert {name: cost.macs for name, cost in costs.items() if cost.macs is not None} == {
        "stem": 16 * 64 * 27,
        "depthwise": 16 * 64 * 9,
        "pointwise": 32 * 64 * 16,
        "head": 5 * 32,
    }
    assert costs["stem"].parameters == 16 * 27
    assert costs["stem"].weight_bytes == 4 * 16 * 27
    assert costs["pool"].macs is None
    assert [name for name, cost in costs.items() if cost.depthwise] == ["depthwise"]


def _macs(op_type: str, shapes: list[tuple[int, ...]], output: tuple[int, ...], **attributes: object) -> int | None:
    names = [f"i{index}" for index in range(len(shapes))]
    node: NodeProto = helper.make_node(op_type, names, ["y"], **attributes)
    return macs_of(node, {**dict(zip(names, shapes, strict=True)), "y": output})


def test_each_rule_counts_as_its_operator_multiplies() -> None:
    assert _macs("MatMul", [(2, 5, 7), (7, 3)], (2, 5, 3)) == 2 * 5 * 3 * 7
    assert _macs("Gemm", [(7, 5), (7, 3)], (5, 3), transA=1) == 5 * 3 * 7
    assert _macs("Gemm", [(5, 7), (3, 7)], (5, 3), transB=1) == 5 * 3 * 7
    assert _macs("Conv", [(1, 8, 10), (6, 4, 3)], (1, 6, 8), group=2) == 6 * 8 * 4 * 3
    assert _macs("ConvTranspose", [(1, 8, 5, 5), (8, 4, 2, 2)], (1, 4, 10, 10)) == 8 * 25 * 4 * 4
    assert _macs("LSTM", [(9, 2, 3), (1, 20, 3), (1, 20, 5)], (9, 1, 2, 5)) == 9 * 2 * (20 * 3 + 20 * 5)
    assert _macs("GRU", [(2, 9, 3), (2, 15, 3), (2, 15, 5)], (2, 9, 2, 5), layout=1) == 9 * 2 * 2 * (45 + 75)
    assert _macs("Einsum", [(4, 5), (5, 6)], (4, 6), equation="ij,jk->ik") == 4 * 5 * 6
    assert _macs("QLinearConv", [(1, 3, 4, 4), (), (), (8, 3, 1, 1)], (1, 8, 4, 4)) == 8 * 16 * 3


def test_what_has_no_rule_or_no_shape_is_unknown_and_not_nothing() -> None:
    assert _macs("Softmax", [(2, 5)], (2, 5)) is None
    assert _macs("Einsum", [(4, 5)], (5, 4), equation="ij->ji") is None
    assert _macs("Einsum", [(4, 5), (5, 6)], (4, 6), equation="...j,jk->...k") is None
    assert macs_of(helper.make_node("MatMul", ["a", "b"], ["y"]), {}) is None


def test_a_shared_weight_counts_once(tmp_path: Path) -> None:
    weights = {"w": np.ones((4, 4), np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="first"),
        helper.make_node("MatMul", ["h", "w"], ["y"], name="again"),
    ]
    model = graphs.model_of(nodes, [graphs.value("x", "N", 4)], [graphs.value("y", "N", 4)], weights)
    costs = _costs(model, {"x": np.ones((1, 4), np.float32)}, tmp_path)
    assert [cost.parameters for cost in costs.values()] == [16, 0]
    assert [cost.macs for cost in costs.values()] == [16, 16]


def test_weights_inside_a_branch_belong_to_the_operator_that_holds_it(tmp_path: Path) -> None:
    costs = _costs(graphs.branches(), {"x": np.ones((2, 4), np.float32)}, tmp_path)
    assert costs["if"].parameters == 16
    assert sum(cost.parameters for cost in costs.values()) == 17


def test_a_constant_is_the_weight_of_who_reads_it(tmp_path: Path) -> None:
    constant = numpy_helper.from_array(np.ones((4, 2), np.float32))
    nodes = [
        helper.make_node("Constant", [], ["w"], value=constant),
        helper.make_node("MatMul", ["x", "w"], ["y"], name="product"),
    ]
    model = graphs.model_of(nodes, [graphs.value("x", "N", 4)], [graphs.value("y", "N", 2)])
    costs = _costs(model, {"x": np.ones((1, 4), np.float32)}, tmp_path)
    assert list(costs) == ["product"]
    assert costs["product"].parameters == 8


def test_narrow_types_are_counted_as_they_are_packed() -> None:
    tensor = helper.make_tensor("w", TensorProto.INT4, [3, 3], [1] * 9)
    graph = helper.make_graph([], "g", [], [], [tensor])
    assert stored_tensors(graph)["w"].size_bytes == 5
    assert [element_bits(kind) for kind in (TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.BOOL)] == [16, 16, 8]
