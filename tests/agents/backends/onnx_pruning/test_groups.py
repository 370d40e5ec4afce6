"""Which channels of a graph stand or fall together, and which must stay and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import checker, helper

from apps.agents.backends.onnx.pruning.anatomy import OnnxAnatomy
from apps.agents.backends.onnx.pruning.surgery import cut
from apps.agents.techniques.channel_pruning.groups import Group, everything, without
from tests.agents.backends.onnx_pruning.nets import SIDE, Net, dissected, outputs, pictures, widths


def _group(anatomy: OnnxAnatomy, name: str) -> Group:
    return next(group for group in (*anatomy.cuttable, *anatomy.uncut) if group.name == name)


def _without_first(anatomy: OnnxAnatomy, name: str, count: int = 2) -> dict[str, int]:
    """Widths after the first channels of a group were cut; the graph must pass the checker and run."""
    kept = without(anatomy.trace, everything(anatomy.trace), _group(anatomy, name).roots[:count])
    proto = cut(anatomy.trace, kept)
    checker.check_model(proto, full_check=True)
    assert np.isfinite(outputs(proto, pictures(4))).all()
    return widths(proto)


def test_an_addition_couples_the_body_with_its_shortcut(tmp_path: Path):
    net = Net()
    stem = net.conv("stem", "x", 8)
    body = net.conv("body", net.add("Relu", "relu", [net.conv("inner", stem, 6)]), 8)
    total = net.add("Add", "sum", [body, net.conv("shortcut", stem, 8, kernel=1)])
    anatomy = dissected(net.model(net.conv("last", total, 5)), tmp_path)
    assert [group.name for group in anatomy.cuttable] == ["stem", "inner", "body + shortcut"]
    assert _group(anatomy, "last").reason == "goes to the output last.y"
    assert _without_first(anatomy, "body + shortcut") == {"stem": 8, "inner": 6, "body": 6, "shortcut": 6, "last": 5}
    assert _without_first(anatomy, "inner") == {"stem": 8, "inner": 4, "body": 8, "shortcut": 8, "last": 5}


def test_an_identity_shortcut_couples_the_body_with_what_it_starts_from(tmp_path: Path):
    net = Net()
    stem = net.conv("stem", "x", 8)
    total = net.add("Add", "sum", [stem, net.conv("body", stem, 8)])
    anatomy = dissected(net.model(net.conv("last", total, 5)), tmp_path)
    assert _without_first(anatomy, "stem + body") == {"stem": 6, "body": 6, "last": 5}


def test_what_is_concatenated_is_cut_apart(tmp_path: Path):
    net = Net()
    a, b = net.conv("a", "x", 6), net.conv("b", "x", 4)
    joined = net.add("Concat", "join", [a, b], 10, axis=1)
    anatomy = dissected(net.model(net.conv("last", joined, 5)), tmp_path)
    assert [group.name for group in anatomy.cuttable] == ["a", "b"]
    assert _without_first(anatomy, "b") == {"a": 6, "b": 2, "last": 5}


def test_a_depthwise_convolution_is_cut_with_what_it_reads(tmp_path: Path):
    net = Net()
    wide = net.add("Relu", "relu", [net.conv("wide", "x", 8, kernel=1)])
    spread = net.conv("depthwise", wide, 8, group=8)
    anatomy = dissected(net.model(net.conv("last", spread, 5, kernel=1)), tmp_path)
    assert _without_first(anatomy, "wide + depthwise") == {"wide": 6, "depthwise": 6, "last": 5}


def test_a_batch_norm_behind_an_activation_is_cut_along(tmp_path: Path):
    net = Net()
    normed = net.norm("norm", net.add("Relu", "relu", [net.conv("first", "x", 8)]))
    anatomy = dissected(net.model(net.conv("last", normed, 5)), tmp_path)
    assert _without_first(anatomy, "first") == {"first": 6, "last": 5}


def test_a_flattened_picture_takes_every_place_of_a_channel_along(tmp_path: Path):
    net = Net()
    flat = net.flatten(net.conv("first", "x", 8))
    proto = net.model(net.gemm("head", flat, 8 * SIDE * SIDE, 5), rank=2)
    anatomy = dissected(proto, tmp_path)
    assert _without_first(anatomy, "first") == {"first": 6, "head": 5}


def test_a_picture_that_is_flattened_channels_last_is_followed_too(tmp_path: Path):
    net = Net()
    first = net.conv("first", "x", 8)
    turned = net.add("Transpose", "turn", [first], perm=[0, 2, 3, 1])
    proto = net.model(net.gemm("head", net.flatten(turned), 8 * SIDE * SIDE, 5), rank=2)
    assert _without_first(dissected(proto, tmp_path), "first") == {"first": 6, "head": 5}


def test_a_gate_for_each_channel_is_cut_with_what_it_weighs(tmp_path: Path):
    net = Net()
    first = net.conv("first", "x", 8)
    squeezed = net.conv("down", net.add("GlobalAveragePool", "pool", [first]), 4, kernel=1)
    gate = net.add("Sigmoid", "gate", [net.conv("up", net.add("Relu", "relu", [squeezed]), 8, kernel=1)])
    anatomy = dissected(net.model(net.conv("last", net.add("Mul", "weigh", [first, gate]), 5)), tmp_path)
    assert _without_first(anatomy, "first + up") == {"first": 6, "down": 4, "up": 6, "last": 5}


def _softmax(net: Net, first: str) -> str:
    return net.conv("last", net.add("Softmax", "soft", [first], axis=1), 5)


def _two_groups(net: Net, first: str) -> str:
    return net.conv("last", first, 6, group=2)


def _shuffled(net: Net, first: str) -> str:
    net.weights["five"] = np.array([0, 2, 4, SIDE, SIDE], np.int64)
    net.weights["four"] = np.array([0, 8, SIDE, SIDE], np.int64)
    parted = net.add("Reshape", "part", [first, "five"], 8)
    turned = net.add("Transpose", "turn", [parted], perm=[0, 2, 1, 3, 4])
    return net.conv("last", net.add("Reshape", "whole", [turned, "four"], 8), 5)


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (lambda _, first: first, "goes to the output first.y"),
        (_softmax, "goes into soft, an unknown operator (Softmax)"),
        (_two_groups, "goes into last, a convolution in 2 groups"),
        (_shuffled, "goes into part, a Reshape that mixes channels with other axes"),
    ],
)
def test_what_cannot_be_followed_stays_and_says_why(tmp_path: Path, ending, reason: str):
    net = Net()
    anatomy = dissected(net.model(ending(net, net.conv("first", "x", 8))), tmp_path)
    assert _group(anatomy, "first").reason == reason
    assert "first" not in {group.name for group in anatomy.cuttable}


def test_layers_that_share_a_weight_are_cut_together(tmp_path: Path):
    net = Net()
    a = net.conv("a", "x", 8)
    net.nodes.append(helper.make_node("Conv", ["x", "a.w"], ["b.y"], name="b", pads=[1] * 4))
    net.channels["b.y"] = 8
    last = net.add("Add", "sum", [net.conv("one", a, 5), net.conv("two", "b.y", 5)])
    anatomy = dissected(net.model(last), tmp_path)
    assert _without_first(anatomy, "a + b") == {"a": 6, "b": 6, "one": 5, "two": 5}
