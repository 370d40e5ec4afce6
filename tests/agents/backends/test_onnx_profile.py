from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from apps.agents.backends.onnx.profile import Profile, profile
from apps.agents.backends.onnx.split_model import fold
from apps.agents.contracts.criteria import Target
from tests.agents import graphs


def _profile(model: graphs.ModelProto, feeds: dict[str, graphs.Array], tmp_path: Path) -> Profile:
    path = fold(graphs.save(model, tmp_path / "m.onnx"), tmp_path / "folded.onnx")
    return profile(path, feeds, Target(), runs=3)


def test_a_fused_convolution_gets_the_time_of_its_activation(tmp_path: Path) -> None:
    found = _profile(graphs.convolutions(), {"x": np.ones((1, 3, 8, 8), np.float32)}, tmp_path)
    assert {"stem", "depthwise", "pointwise", "pool"} <= set(found.layers_ms)
    assert not {"stem_relu", "clip"} & set(found.layers_ms)
    assert all(time_ms >= 0 for time_ms in found.layers_ms.values())
    assert sum(found.share(name) or 0 for name in found.layers_ms) + found.other_ms / found.total_ms == pytest.approx(1)


def test_every_product_of_an_attention_block_is_found_under_its_name(tmp_path: Path) -> None:
    found = _profile(graphs.attention(), graphs.attention_feeds(2), tmp_path)
    assert {"query", "key", "value", "scores", "softmax", "context", "output"} <= set(found.layers_ms)


def test_the_time_of_a_branch_is_counted_once(tmp_path: Path) -> None:
    """Nodes inside have events too, and one of them is even named after the operator that holds it."""
    model = graphs.branches()
    for attribute in model.graph.node[-1].attribute:
        attribute.g.node[0].name = "if/product"
    found = _profile(model, {"x": np.ones((2, 4), np.float32)}, tmp_path)
    assert set(found.layers_ms) <= {"total", "positive", "if"}
    assert "if" in found.layers_ms


def test_a_layer_without_time_of_its_own_has_no_share() -> None:
    assert Profile({"a": 1.0}, other_ms=1.0).share("b") is None
    assert Profile({"a": 1.0}, other_ms=1.0).share("a") == 0.5
    assert Profile({"a": 0.0}).share("a") is None


def test_nodes_without_names_are_profiled_under_those_they_get(tmp_path: Path) -> None:
    nodes = [helper.make_node("Sin", ["x"], ["h"]), helper.make_node("Cos", ["h"], ["y"])]
    model = graphs.model_of(nodes, [graphs.value("x", 3)], [graphs.value("y", 3)])
    found = _profile(model, {"x": np.ones(3, np.float32)}, tmp_path)
    assert set(found.layers_ms) == {"Sin_0", "Cos_1"}
