"""SmoothQuant for ONNX graphs: the same function before rounding, and what 8 bits lose to outliers is won back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from apps.agents.backends.onnx import runtime
from apps.agents.backends.onnx.smoothing import Smoothing
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable
from tests.agents import graphs
from tests.agents.workshop import FIDELITY, RESNET, Workshop, loaded, sqnr_db

WIDTH, HIDDEN, BLOCKS = 64, 128, 3
OUTLIERS = (3, 11, 19, 27, 40, 55)
"""Channels of every norm that are multiplied by 60, and divided again in the weights behind it."""


def _layer_norm(tensor: str, name: str, weights: dict[str, np.ndarray]) -> list[NodeProto]:
    weights[f"{name}.bias"] = (weights[f"{name}.scale"] * 0.1).astype(np.float32)
    inputs = [tensor, f"{name}.scale", f"{name}.bias"]
    return [helper.make_node("LayerNormalization", inputs, [f"{name}.out"], name=name, axis=-1)]


def _rms_norm(tensor: str, name: str, weights: dict[str, np.ndarray]) -> list[NodeProto]:
    """As exporters write it: one operator a step, a product with the stored scale at the end."""
    weights["two"], weights["tiny"] = np.array(2, np.float32), np.array(1e-5, np.float32)
    return [
        helper.make_node("Pow", [tensor, "two"], [f"{name}.squares"], name=f"{name}/Pow"),
        helper.make_node("ReduceMean", [f"{name}.squares"], [f"{name}.mean"], name=f"{name}/Mean", axes=[-1]),
        helper.make_node("Add", [f"{name}.mean", "tiny"], [f"{name}.safe"], name=f"{name}/Add"),
        helper.make_node("Sqrt", [f"{name}.safe"], [f"{name}.root"], name=f"{name}/Sqrt"),
        helper.make_node("Div", [tensor, f"{name}.root"], [f"{name}.normal"], name=f"{name}/Div"),
        helper.make_node("Mul", [f"{name}.scale", f"{name}.normal"], [f"{name}.out"], name=name),
    ]


Norm = Callable[[str, str, dict[str, np.ndarray]], list[NodeProto]]


def transformer(path: Path, norm: Norm, *, outliers: bool, post_norm: bool = False) -> Path:
    """Residual blocks norm → Gemm → Relu → MatMul; with `post_norm` the residual reads the norm as well."""
    random = graphs.rng()
    weights: dict[str, np.ndarray] = {}
    nodes: list[NodeProto] = []
    tensor = "x"
    for block in range(BLOCKS):
        name = f"norm{block}"
        weights[f"{name}.scale"] = random.uniform(0.5, 1.5, WIDTH).astype(np.float32)
        weights[f"up{block}"] = (random.normal(size=(HIDDEN, WIDTH)) / 8).astype(np.float32)
        weights[f"bias{block}"] = random.normal(size=HIDDEN).astype(np.float32)
        weights[f"down{block}"] = (random.normal(size=(HIDDEN, WIDTH)) / 11).astype(np.float32)
        nodes += norm(tensor, name, weights)
        if outliers:
            for stored in (f"{name}.scale", f"{name}.bias"):
                if stored in weights:
                    weights[stored][list(OUTLIERS)] *= 60
            weights[f"up{block}"][:, list(OUTLIERS)] /= 60
        inner = [
            helper.make_node(
                "Gemm", [f"{name}.out", f"up{block}", f"bias{block}"], [f"u{block}"], f"up{block}", transB=1
            ),
            helper.make_node("Relu", [f"u{block}"], [f"r{block}"], f"relu{block}"),
            helper.make_node("MatMul", [f"r{block}", f"down{block}"], [f"d{block}"], f"down{block}"),
            helper.make_node(
                "Add", [f"{name}.out" if post_norm else tensor, f"d{block}"], [f"h{block}"], f"add{block}"
            ),
        ]
        nodes += inner
        tensor = f"h{block}"
    nodes[-1].output[0] = "y"
    model = graphs.model_of(nodes, [graphs.value("x", "N", WIDTH)], [graphs.value("y", "N", WIDTH)], weights)
    return graphs.save(model, path)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def vectors(workshop: Workshop) -> Path:
    return workshop.examples(x=graphs.rng().normal(size=(256, WIDTH)).astype(np.float32))


@pytest.mark.parametrize("norm", [_layer_norm, _rms_norm], ids=["LayerNorm", "RMSNorm"])
def test_it_wins_back_what_plain_8_bits_lose_to_outliers(norm: Norm, workshop: Workshop, vectors: Path):
    """The positive control: the outliers change nothing of the function, so nothing but rounding can lose."""
    calm = transformer(workshop.root / "calm.onnx", norm, outliers=False)
    wild = transformer(workshop.root / "wild.onnx", norm, outliers=True)
    plain = {"operators": ("MatMul", "Gemm")}
    noise = {
        name: 10 ** (-sqnr_db(workshop.apply(technique, model, vectors, FIDELITY, **parameters)) / 10)
        for name, technique, model, parameters in (
            ("least", "onnx-static-int8", calm, plain),
            ("plain", "onnx-static-int8", wild, plain),
            ("smooth", "onnx-smoothquant", wild, {}),
        )
    }
    assert noise["plain"] > 3 * noise["least"]
    assert noise["plain"] - noise["smooth"] >= 0.9 * (noise["plain"] - noise["least"])


@pytest.mark.parametrize("norm", [_layer_norm, _rms_norm], ids=["LayerNorm", "RMSNorm"])
@pytest.mark.parametrize("post_norm", [False, True], ids=["read by products alone", "read by the residual too"])
def test_smoothing_alone_computes_the_same(norm: Norm, post_norm: bool, tmp_path: Path):
    path = transformer(tmp_path / "model.onnx", norm, outliers=True, post_norm=post_norm)
    proto = onnx.load(str(path))
    smoothing = Smoothing(proto, tmp_path)
    assert len(smoothing.sites) == BLOCKS
    random = graphs.rng()
    scales = {site.tensor: random.uniform(0.1, 10, site.channels).astype(np.float32) for site in smoothing.sites}
    smoothed = smoothing.smoothed(scales)
    assert _added_products(proto, smoothed) == (BLOCKS if post_norm else 0)
    x = random.normal(size=(32, WIDTH)).astype(np.float32)
    before, after = (_run(model, x) for model in (proto, smoothed))
    assert np.abs(after - before).max() <= 1e-5 * np.abs(before).max()
    weight = _tensor(smoothed, next(node for node in smoothed.graph.node if node.name == "up0").input[1])
    assert not np.allclose(weight, _tensor(proto, "up0"))


def _run(proto: ModelProto, x: np.ndarray) -> np.ndarray:
    return runtime.run(runtime.open_session(proto.SerializeToString()), {"x": x})[0]


def _added_products(before: ModelProto, after: ModelProto) -> int:
    return sum(node.op_type == "Mul" for node in after.graph.node) - sum(
        node.op_type == "Mul" for node in before.graph.node
    )


def _tensor(proto: ModelProto, name: str) -> np.ndarray:
    return numpy_helper.to_array(next(tensor for tensor in proto.graph.initializer if tensor.name == name))


def test_a_search_finds_an_alpha_and_says_what_smoothing_alone_did(workshop: Workshop, vectors: Path):
    model = transformer(workshop.root / "model.onnx", _layer_norm, outliers=True)
    made = workshop.apply("onnx-smoothquant", model, vectors, FIDELITY)
    told = next(check for check in made.result.checks if "alpha" in check)
    assert "Outliers of 3 norms were moved" in told
    assert "Before any rounding" in told
    alpha = float(told.split("alpha ")[1].split(". ")[0])
    assert 0.2 <= alpha <= 0.9
    given = workshop.apply("onnx-smoothquant", model, vectors, FIDELITY, alpha=alpha)
    assert given.result.digest == made.result.digest
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in loaded(made).graph.node}


def test_weights_that_others_read_as_well_stay_theirs(tmp_path: Path):
    """One table is both a norm's product and the output's: only the product behind the norm gets another weight."""
    random = graphs.rng()
    weights = {
        "scale": random.uniform(0.5, 1.5, WIDTH).astype(np.float32),
        "table": random.normal(size=(WIDTH, WIDTH)).astype(np.float32),
    }
    nodes = [
        helper.make_node("LayerNormalization", ["x", "scale"], ["n"], name="norm", axis=-1),
        helper.make_node("MatMul", ["n", "table"], ["h"], name="first"),
        helper.make_node("MatMul", ["h", "table"], ["y"], name="second"),
    ]
    proto = graphs.model_of(nodes, [graphs.value("x", "N", WIDTH)], [graphs.value("y", "N", WIDTH)], weights)
    smoothing = Smoothing(proto, tmp_path)
    scales = {site.tensor: random.uniform(0.1, 10, site.channels).astype(np.float32) for site in smoothing.sites}
    x = random.normal(size=(8, WIDTH)).astype(np.float32)
    before, after = (_run(model, x) for model in (proto, smoothing.smoothed(scales)))
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)


def test_a_graph_without_norms_is_refused(workshop: Workshop):
    with pytest.raises(TechniqueNotApplicable, match="none of its norms feeds a matrix product"):
        workshop.apply("onnx-smoothquant", RESNET)


def test_a_scale_stored_as_something_else_is_no_site(tmp_path: Path):
    """A scale that the graph computes cannot be divided."""
    weights = {"table": np.ones((WIDTH, WIDTH), np.float32)}
    nodes = [
        helper.make_node("LayerNormalization", ["x", "s"], ["n"], name="norm", axis=-1),
        helper.make_node("MatMul", ["n", "table"], ["y"], name="first"),
    ]
    inputs = [graphs.value("x", "N", WIDTH), helper.make_tensor_value_info("s", TensorProto.FLOAT, [WIDTH])]
    proto = graphs.model_of(nodes, inputs, [graphs.value("y", "N", WIDTH)], weights)
    assert Smoothing(proto, tmp_path).sites == ()
