"""Layers behind a cut are fitted to what the original gives: exact where they can be, much nearer where not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from apps.agents.backends.onnx.flow import Flow
from apps.agents.backends.onnx.pruning.anatomy import OnnxAnatomy
from apps.agents.backends.onnx.pruning.compensation import Compensation, FittedLayer
from apps.agents.backends.onnx.pruning.fitting_order import Order
from apps.agents.backends.onnx.pruning.surgery import cut
from apps.agents.techniques.channel_pruning.channels import Kept
from apps.agents.techniques.channel_pruning.groups import everything, without
from tests.agents.backends.onnx_pruning.nets import SIDE, Net, dissected, outputs, pictures

EXAMPLES = pictures(96)
SEEN = Flow(lambda count: ({"x": EXAMPLES[start : start + 16]} for start in range(0, count, 16)), 96)
NOTHING_CUT = 1e-6
TOLD: list[str] = []


def _fitted(anatomy: OnnxAnatomy, kept: Kept, ridge: float = 1e-6) -> tuple[ModelProto, list[FittedLayer]]:
    proto = cut(anatomy.trace, kept)
    return proto, Compensation(anatomy.trace, kept, proto, SEEN, ridge).run(lambda share, what: TOLD.append(what))


def _error(anatomy: OnnxAnatomy, proto: ModelProto) -> float:
    """The energy of the outputs' change over that of the outputs, on pictures that nothing was fitted to."""
    fresh = np.random.default_rng(11).normal(size=(32, 3, SIDE, SIDE)).astype(np.float32)
    exact, changed = outputs(anatomy.trace.proto, fresh), outputs(proto, fresh)
    return float(np.square(changed - exact).sum() / np.square(exact - exact.mean(0)).sum())


def _dense(net: Net, wide: str) -> str:
    return net.conv("last", net.conv("reader", wide, 7, strides=[2, 2], dilations=[2, 2]), 5)


def _depthwise(net: Net, wide: str) -> str:
    return net.conv("last", net.add("Relu", "act", [net.conv("reader", wide, net.channels[wide], group=8)]), 5)


def _flattened(net: Net, wide: str) -> str:
    pooled = net.add("GlobalAveragePool", "pool", [wide])
    return net.conv("last", pooled, 5, kernel=1)


def _normed(net: Net, wide: str) -> str:
    return net.conv("last", net.norm("norm", net.conv("reader", wide, 7)), 5)


def _summed(net: Net, wide: str) -> str:
    total = net.add("Add", "sum", [net.conv("reader", wide, 7), net.conv("shortcut", wide, 7, kernel=1)])
    return net.conv("last", total, 5)


READERS = [_dense, _depthwise, _flattened, _normed, _summed]


def _net(reader: Callable[[Net, str], str], folder: Path, *, twins: bool = False) -> OnnxAnatomy:
    """A convolution of 8 channels, the last two of them twins of the first two if asked for, and what reads it."""
    net = Net()
    wide = net.add("Relu", "relu", [net.conv("wide", "x", 8)])
    proto = net.model(reader(net, wide))
    if twins:
        for name in ("wide.w", "wide.b", *(["reader.w", "reader.b"] if reader is _depthwise else [])):
            net.weights[name][6:] = net.weights[name][:2]
        proto = net.model(proto.graph.output[0].name)
    return dissected(proto, folder)


@pytest.mark.parametrize("reader", READERS)
def test_with_nothing_removed_no_layer_is_touched_and_the_fit_gives_the_same_function(tmp_path: Path, reader):
    anatomy = _net(reader, tmp_path)
    whole = everything(anatomy.trace)
    assert _fitted(anatomy, whole)[1] == []
    forced = Order(anatomy.trace, whole)
    forced.__dict__["_disturbed"] = frozenset(layer.name for layer in anatomy.trace.layers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("apps.agents.backends.onnx.pruning.compensation.Order", lambda trace, kept: forced)
        proto, fitted = _fitted(anatomy, whole, ridge=1e-3)
    assert {one.name for one in fitted} == {layer.name for layer in anatomy.trace.layers}
    assert _error(anatomy, proto) < NOTHING_CUT


@pytest.mark.parametrize("reader", READERS)
def test_a_duplicate_channel_is_removed_without_loss(tmp_path: Path, reader):
    anatomy = _net(reader, tmp_path, twins=True)
    group = next(one for one in anatomy.cuttable if one.name.startswith("wide"))
    kept = without(anatomy.trace, everything(anatomy.trace), group.roots[6:])
    assert _error(anatomy, cut(anatomy.trace, kept)) > 0.01
    proto, fitted = _fitted(anatomy, kept)
    assert _error(anatomy, proto) < 1e-4
    assert all(one.error < 1e-3 for one in fitted)


@pytest.mark.parametrize("reader", READERS)
def test_the_loss_of_unique_channels_is_partly_compensated(tmp_path: Path, reader):
    anatomy = _net(reader, tmp_path)
    group = next(one for one in anatomy.cuttable if one.name.startswith("wide"))
    kept = without(anatomy.trace, everything(anatomy.trace), group.roots[5:])
    proto, fitted = _fitted(anatomy, kept, ridge=1e-3)
    assert _error(anatomy, proto) < 0.9 * _error(anatomy, cut(anatomy.trace, kept))
    assert all(one.error <= one.error_before for one in fitted)


def test_a_matrix_product_without_a_bias_gets_one(tmp_path: Path):
    net = Net()
    flat = net.flatten(net.add("Relu", "relu", [net.conv("wide", "x", 8)]))
    net.weights["inner"] = net._drawn(8 * SIDE * SIDE, 6)
    net.weights["head"] = net._drawn(6, 4)
    hidden = net.add("Relu", "act", [net.add("MatMul", "first", [flat, "inner"], 6)], 6)
    anatomy = dissected(net.model(net.add("MatMul", "second", [hidden, "head"], 4), rank=2), tmp_path)
    group = next(one for one in anatomy.cuttable if one.name == "first")
    kept = without(anatomy.trace, everything(anatomy.trace), group.roots[4:])
    proto, fitted = _fitted(anatomy, kept, ridge=1e-3)
    assert [one.name for one in fitted] == ["second"]
    assert [node.op_type for node in proto.graph.node][-2:] == ["MatMul", "Add"]
    assert _error(anatomy, proto) < 0.5 * _error(anatomy, cut(anatomy.trace, kept))


def test_the_shortcut_is_fitted_before_its_body_which_aims_at_the_sum(tmp_path: Path):
    net = Net()
    stem = net.conv("stem", "x", 8)
    body = net.conv("body", net.add("Relu", "relu", [net.conv("inner", stem, 6)]), 8)
    total = net.add("Add", "sum", [body, net.conv("shortcut", stem, 8, kernel=1)])
    anatomy = dissected(net.model(net.conv("last", total, 5)), tmp_path)
    order = Order(anatomy.trace, without(anatomy.trace, everything(anatomy.trace), anatomy.cuttable[0].roots[:2]))
    names = [layer.name for layer in order.layers]
    assert names.index("shortcut") < names.index("body")
    by_name = {layer.name: layer for layer in order.layers}
    assert order.aim(by_name["shortcut"]).wanted == "shortcut.y"
    order.fitted.update({"inner", "shortcut"})
    aim = order.aim(by_name["body"])
    assert (aim.wanted, aim.given) == ("sum.y", "shortcut.y")
