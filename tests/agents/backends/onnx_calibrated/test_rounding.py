"""Careful rounding: weights on grids, roundings that differ from the nearest, and a smaller error of the outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from apps.agents.backends.onnx import runtime
from apps.agents.backends.onnx.calibrated.adaround import adaround
from apps.agents.backends.onnx.calibrated.gptq import gptq
from apps.agents.backends.onnx.calibrated.kept_grids import coarse_steps
from apps.agents.backends.onnx.calibrated.weight_grid import block_grid, closer, fitted_grid, rounding_grid
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable, TechniqueParameters
from tests.agents import graphs
from tests.agents.backends.onnx_calibrated.running import outputs
from tests.agents.backends.onnx_pruning.nets import Net, pictures
from tests.agents.workshop import DEPTHWISE, FIDELITY, Workshop, loaded, sqnr_db

LOW = "onnx-low-bits"
CAREFUL = ("onnx-gptq", "onnx-adaround")


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def _layer(groups: int = 1, outputs: int = 8, features: int = 36) -> tuple[np.ndarray, np.ndarray]:
    """Weights and the covariance of inputs that are strongly correlated, as neighbouring pixels are."""
    random = graphs.rng()
    weights = random.normal(size=(groups, outputs, features))
    mixed = random.normal(size=(groups, 400, features)) @ random.normal(size=(groups, features, features)) ** 3
    return weights, np.swapaxes(mixed, 1, 2) @ mixed / 400


def _error(made: np.ndarray, weights: np.ndarray, gram: np.ndarray) -> float:
    off = made - weights
    return float(((off @ gram) * off).sum())


@pytest.mark.parametrize("bits", [3, 4])
@pytest.mark.parametrize("groups", [1, 5], ids=["dense", "depthwise"])
def test_both_leave_less_error_than_the_nearest_points(bits: int, groups: int):
    weights, gram = _layer(groups, 1 if groups > 1 else 8, 9 if groups > 1 else 36)
    grid = fitted_grid(weights, bits, np.diagonal(gram, axis1=1, axis2=2))
    plain = grid.nearest(weights)
    nearest = _error(plain, weights, gram)
    for found in (gptq(weights, gram, grid), adaround(weights, gram, grid, steps=300, strength=0.05)):
        made = closer(found, plain, weights, gram)
        codes = made / grid.steps
        assert np.allclose(codes, np.rint(codes), atol=1e-9)
        assert codes.min() >= grid.low
        assert codes.max() <= grid.high
        assert _error(made, weights, gram) < (1.0 if groups > 1 else 0.7) * nearest


def test_adaround_only_moves_to_one_of_the_two_points_around_a_weight():
    weights, gram = _layer()
    grid = rounding_grid(weights, 4)
    made = adaround(weights, gram, grid, steps=200, strength=0.05)
    assert (np.abs(made - weights) < grid.steps * (1 + 1e-9)).all()


def test_a_grid_is_found_again_and_plain_weights_have_none():
    random = graphs.rng()
    codes = random.integers(-7, 8, (6, 4, 3, 3)).astype(np.float32)
    codes[2] = 0
    steps = random.uniform(0.01, 1, 6).astype(np.float32)
    found = coarse_steps(codes * steps[:, None, None, None], 0, most=7)
    assert found is not None
    lost = codes * steps[:, None, None, None] / found[:, None, None, None]
    assert np.abs(lost - np.rint(lost)).max() < 1e-3
    assert coarse_steps(random.normal(size=(6, 4, 3, 3)).astype(np.float32), 0) is None
    turned = coarse_steps((codes * steps[:, None, None, None]).reshape(6, -1).T, 1, most=7)
    assert np.array_equal(turned, found)


@pytest.mark.parametrize("length", [64, 50], ids=["whole blocks", "a part of a block"])
def test_rounding_in_blocks_finds_the_blocks_that_gptq_chose(length: int):
    random = graphs.rng()
    weights = random.normal(size=(1, 6, length))
    inputs = random.normal(size=(400, length)) @ random.normal(size=(length, length))
    made = gptq(weights, (inputs.T @ inputs / 400)[None], block_grid(weights, 4, 16))
    stored = {"w": np.ascontiguousarray(made[0].T, np.float32)}
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    model = graphs.model_of([node], [graphs.value("x", "N", length)], [graphs.value("y", "N", 6)], stored)
    quantizer = MatMulNBitsQuantizer(model, bits=4, block_size=16, is_symmetric=True, accuracy_level=1)
    quantizer.process()
    given = np.eye(length, dtype=np.float32)
    session = runtime.open_session(quantizer.model.model.SerializeToString())
    assert np.allclose(runtime.run(session, {"x": given})[0], made[0].T, atol=1e-5)


def _net(workshop: Workshop) -> tuple[Path, Path]:
    """A net with every kind of layer, and examples whose pixels are correlated."""
    net = Net()
    tensor = net.add("Relu", "relu1", [net.conv("dense", "x", 8)])
    tensor = net.add("Relu", "relu2", [net.conv("depthwise", tensor, 8, group=8)])
    tensor = net.add("Relu", "relu3", [net.conv("grouped", tensor, 8, group=2)])
    proto = net.model(net.gemm("head", net.flatten(tensor), 8 * 64, 5), rank=2)
    path = workshop.root / "net.onnx"
    onnx.save(proto, str(path))
    noise = graphs.rng().normal(size=(160, 3, 8, 8)).cumsum(2).cumsum(3) / 8
    return path, workshop.examples(x=noise.astype(np.float32))


@pytest.mark.parametrize("technique", CAREFUL)
def test_three_bits_are_stored_as_chosen_and_lose_less_than_the_nearest(technique: str, workshop: Workshop):
    path, data = _net(workshop)
    plain = workshop.apply(LOW, path, data, FIDELITY, bits=3, correct_biases=False)
    careful = workshop.apply(technique, path, data, FIDELITY, bits=3)
    stored = workshop.apply(LOW, careful.artifact, data, FIDELITY, bits=3)
    assert sqnr_db(careful) > sqnr_db(plain) + 1.5
    assert stored.result.evidence["layers_on_grid"] == 4
    x = graphs.rng().normal(size=(8, 3, 8, 8)).astype(np.float32)
    before, after = outputs(careful.artifact, x), outputs(stored.artifact, x)
    assert np.abs(before - after).max() <= 1e-4 * np.abs(before).max()
    evidence = careful.result.evidence
    assert 0 < evidence["decisions_changed"] < 0.9
    assert [one["name"] for one in evidence["layers"]] == ["dense", "depthwise", "grouped", "head"]
    assert all(one["error"] <= one["error_nearest"] for one in evidence["layers"])


@pytest.mark.parametrize("weight_type", ["int8", "uint8"])
def test_static_int8_keeps_the_grid(weight_type: str, workshop: Workshop):
    path, data = _net(workshop)
    careful = workshop.apply("onnx-gptq", path, data, FIDELITY, bits=3)
    made = workshop.apply("onnx-static-int8", careful.artifact, data, FIDELITY, weight_type=weight_type)
    narrow = {one.name: numpy_helper.to_array(one) for one in loaded(made).graph.initializer}
    codes = narrow["dense.w_quantized"].astype(int) - (128 if weight_type == "uint8" else 0)
    assert np.abs(codes).max() <= 3
    assert len(np.unique(codes)) <= 7


def test_weights_in_blocks_keep_what_gptq_chose(workshop: Workshop):
    net = Net()
    net.weights |= {"up": net._drawn(40, 3 * 64).T.copy(), "down": net._drawn(6, 40).T.copy()}
    hidden = net.add("Relu", "relu", [net.add("MatMul", "a", [net.flatten("x"), "up"], 40)])
    proto = net.model(net.add("MatMul", "b", [hidden, "down"], 6), rank=2)
    path = workshop.root / "products.onnx"
    onnx.save(proto, str(path))
    noise = graphs.rng().normal(size=(400, 3, 8, 8)).cumsum(2).cumsum(3) / 8
    data = workshop.examples(x=noise.astype(np.float32))
    blocks = {"bits": 4, "block_size": 32, "accuracy_level": 1}
    plain = workshop.apply("onnx-weight-only", path, data, FIDELITY, **blocks)
    careful = workshop.apply("onnx-gptq", path, data, FIDELITY, bits=4, block_size=32)
    kept = workshop.apply("onnx-weight-only", careful.artifact, data, FIDELITY, **blocks)
    assert sqnr_db(kept) > 80
    assert sqnr_db(careful) > sqnr_db(plain) + 1


def test_corrected_biases_lose_less_than_plain_rounding(workshop: Workshop):
    chosen = {"bits": 3, "calibration_examples": 64}
    plain, corrected = (sqnr_db(workshop.apply(LOW, DEPTHWISE, correct_biases=on, **chosen)) for on in (False, True))
    assert corrected > plain + 1


def test_nodes_can_be_left_in_float(workshop: Workshop):
    path, data = _net(workshop)
    made = workshop.apply(LOW, path, data, FIDELITY, keep_float_nodes=("dense",))
    assert made.result.evidence["layers"] == 3
    with pytest.raises(TechniqueParameters, match="nowhere"):
        workshop.apply("onnx-gptq", path, data, FIDELITY, keep_float_nodes=("nowhere",))


def test_a_model_without_layers_is_refused(workshop: Workshop):
    net = Net()
    path = workshop.root / "empty.onnx"
    onnx.save(net.model(net.add("Relu", "relu", ["x"])), str(path))
    with pytest.raises(TechniqueNotApplicable, match="no convolution or matrix product"):
        workshop.apply("onnx-gptq", path, workshop.examples(x=pictures()), FIDELITY)
