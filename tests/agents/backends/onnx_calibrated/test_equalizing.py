"""Equalization: the same function to the bit, like ranges, and what int8 lost to uneven channels is won back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto

from apps.agents.backends.onnx.calibrated.equalizing import absorb, equalize
from apps.agents.backends.onnx.calibrated.layers import Graph
from apps.agents.backends.onnx.calibrated.pairs import pairs_of, ranges_out
from apps.agents.contracts.errors.techniques import TechniqueNoEffect, TechniqueNotApplicable
from tests.agents.backends.onnx_calibrated.running import fashion, flow_through, outputs, per_cent_right
from tests.agents.backends.onnx_calibrated.spreading import relus, spread
from tests.agents.backends.onnx_pruning.nets import Net, pictures
from tests.agents.workshop import DEPTHWISE, FIDELITY, Workshop, operators

EQUALIZE, STATIC = "onnx-equalize", "onnx-static-int8"


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("per_channel", [False, True], ids=["per tensor", "per channel"])
def test_int8_wins_back_what_it_loses_to_channels_that_are_spread(per_channel: bool, workshop: Workshop):
    """The positive control: the function is the same, so nothing but rounding can lose."""
    images, labels = fashion(4000)
    wild = spread(workshop.root)
    even = workshop.apply(EQUALIZE, wild, calibration_examples=64)
    plain, after = (
        per_cent_right(_int8(workshop, model, per_channel=per_channel), images, labels)
        for model in (wild, even.artifact)
    )
    exact = per_cent_right(DEPTHWISE, images, labels)
    assert plain < exact - 1.0
    assert after >= exact - 0.2
    pairs = even.result.evidence["pairs"]
    assert max(one["spread"] for one in pairs) < 0.2 * max(one["spread_before"] for one in pairs)


def _int8(workshop: Workshop, model: Path, **parameters: object) -> Path:
    return workshop.apply(STATIC, model, calibration_examples=64, reduce_range=True, **parameters).artifact


def test_not_one_bit_of_the_float_result_changes(workshop: Workshop):
    images, _ = fashion(16)
    wild = spread(workshop.root)
    even = workshop.apply(EQUALIZE, wild, calibration_examples=16)
    assert np.array_equal(outputs(wild, images, "image"), outputs(even.artifact, images, "image"))


def _chain(*between: str, **attributes: object) -> ModelProto:
    """Two convolutions with operators between them; the channels of the first have ranges far apart."""
    net = Net()
    tensor = net.conv("first", "x", 6)
    net.weights["first.w"] *= (10.0 ** np.linspace(-2, 2, 6)).reshape(6, 1, 1, 1).astype(np.float32)
    net.weights["low"], net.weights["high"] = np.array(0, np.float32), np.array(6, np.float32)
    for op_type in between:
        reads = [tensor, "low", "high"] if op_type == "Clip" else [tensor]
        tensor = net.add(op_type, op_type.lower(), reads, **attributes)
    return net.model(net.conv("second", tensor, 4))


@pytest.mark.parametrize(
    ("between", "attributes"),
    [
        (["Relu"], {}),
        (["LeakyRelu"], {"alpha": 0.2}),
        (["Relu", "MaxPool"], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    ],
    ids=["Relu", "LeakyRelu", "pooling"],
)
def test_channels_are_scaled_through_what_scales_with_its_input(between: list[str], attributes: dict[str, object]):
    if len(between) > 1:
        proto = _chain("Relu")
        node = onnx.helper.make_node("MaxPool", ["relu.y"], ["pool.y"], name="pool", **attributes)
        proto.graph.node.insert(2, node)
        proto.graph.node[3].input[0] = "pool.y"
    else:
        proto = _chain(*between, **attributes)
    graph = Graph(proto).copy()
    (found,) = equalize(graph, list(pairs_of(graph)))
    assert found.spread < 0.1 * found.spread_before
    x = pictures(4)
    assert np.array_equal(outputs(proto, x), outputs(graph.proto, x))


@pytest.mark.parametrize("op_type", ["Sigmoid", "HardSwish", "Softplus"])
def test_where_an_operator_does_not_scale_nothing_is_equalized(op_type: str, workshop: Workshop):
    proto = _chain(op_type)
    assert not list(pairs_of(Graph(proto)))
    path = workshop.root / "net.onnx"
    onnx.save(proto, str(path))
    with pytest.raises(TechniqueNotApplicable, match="such as Relu"):
        workshop.apply(EQUALIZE, path, workshop.examples(x=pictures()), FIDELITY)


def test_a_tensor_that_something_else_reads_as_well_is_left_alone():
    net = Net()
    both = net.add("Relu", "relu", [net.conv("first", "x", 4)])
    proto = net.model(net.add("Add", "sum", [net.conv("second", both, 4), both], 4))
    assert not list(pairs_of(Graph(proto)))


def test_two_layers_that_read_the_same_channels_are_scaled_together():
    net = Net()
    shared = net.add("Relu", "relu", [net.conv("first", "x", 6)])
    net.weights["first.w"] *= (10.0 ** np.linspace(-1, 1, 6)).reshape(6, 1, 1, 1).astype(np.float32)
    proto = net.model(net.add("Add", "sum", [net.conv("a", shared, 4), net.conv("b", shared, 4)], 4))
    graph = Graph(proto).copy()
    (pair,) = pairs_of(graph)
    assert {one.layer.name for one in pair.readers} == {"a", "b"}
    equalize(graph, [pair])
    x = pictures(4)
    assert np.array_equal(outputs(proto, x), outputs(graph.proto, x))


def test_a_flattened_picture_keeps_its_channels():
    net = Net()
    flat = net.flatten(net.add("Relu", "relu", [net.conv("first", "x", 5)]))
    net.weights["first.w"] *= (10.0 ** np.linspace(-1, 1, 5)).reshape(5, 1, 1, 1).astype(np.float32)
    proto = onnx.shape_inference.infer_shapes(net.model(net.gemm("head", flat, 5 * 64, 3), rank=2))
    graph = Graph(proto).copy()
    (pair,) = pairs_of(graph)
    assert pair.readers[0].repeat == 64
    (found,) = equalize(graph, [pair])
    assert found.spread < found.spread_before
    x = pictures(4)
    assert np.array_equal(outputs(proto, x), outputs(graph.proto, x))


def test_a_clip_that_cuts_stays_and_one_that_cuts_nothing_becomes_relu(workshop: Workshop):
    path, data = workshop.root / "net.onnx", workshop.examples(x=pictures())
    onnx.save(_chain("Clip"), str(path))
    with pytest.raises(TechniqueNoEffect):
        workshop.apply(EQUALIZE, path, data, FIDELITY)
    made = workshop.apply(EQUALIZE, path, data, FIDELITY, most_clipped=0.5)
    (clip,) = made.result.evidence["clips"]
    assert 0 < clip["clipped"] <= 0.5
    assert operators(made) == {"Conv": 2, "Relu": 1}
    tame = _chain("Clip")
    next(one for one in tame.graph.initializer if one.name == "high").CopyFrom(
        onnx.numpy_helper.from_array(np.array(1e6, np.float32), "high")
    )
    onnx.save(tame, str(path))
    even = workshop.apply(EQUALIZE, path, data, FIDELITY)
    assert operators(even) == {"Conv": 2, "Relu": 1}
    assert even.result.evidence["clips"] == [{"name": "clip", "clipped": 0.0, "replaced": True}]


def test_high_biases_move_behind_the_relu_without_changing_the_function():
    net = Net()
    tensor = net.add("Relu", "relu", [net.conv("first", "x", 4)])
    net.weights["first.b"][:] = [50, 40, -50, 0]
    proto = net.model(net.conv("second", tensor, 3, kernel=1), rank=4)
    graph, x = Graph(proto).copy(), pictures(8)
    found = absorb(graph, list(pairs_of(graph)), flow_through(x))
    assert found[0]["channels"] == 2
    before, after = outputs(proto, x), outputs(graph.proto, x)
    assert np.abs(before - after).max() <= 1e-5 * np.abs(before).max()
    assert graph.array("first.b").max() < 30


def test_biases_corrected_for_three_bits_help_rounding_to_nearest(workshop: Workshop):
    net = relus(Graph(onnx.load(str(spread(workshop.root, factor=1.0)))))
    path = workshop.root / "relus.onnx"
    onnx.save(net.proto, str(path))
    corrected = workshop.apply(EQUALIZE, path, corrected_bits=3, calibration_examples=32)
    assert corrected.result.evidence["corrections"]
    low, (images, _) = {"bits": 3, "correct_biases": False}, fashion(64)
    exact = outputs(path, images, "image")
    plain, better = (
        float(np.square(outputs(workshop.apply("onnx-low-bits", one, **low).artifact, images, "image") - exact).sum())
        for one in (path, corrected.artifact)
    )
    assert better < 0.7 * plain


def test_ranges_are_those_of_the_outputs():
    proto = _chain("Relu")
    graph = Graph(proto)
    (first, _) = graph.layers
    assert ranges_out(graph, first).shape == (6,)
