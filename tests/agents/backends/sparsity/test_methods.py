"""The three methods on one real linear layer: exact counts, and how much of its output each of them keeps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from apps.agents.backends.torch.sparsity import sparsegpt
from apps.agents.backends.torch.sparsity.allocation import Curve, allocate
from apps.agents.backends.torch.sparsity.calibrating import Inputs, stages
from apps.agents.backends.torch.sparsity.methods import sparse_gpt, wanda
from apps.agents.backends.torch.sparsity.patterns import Pattern
from tests.agents.workshop import FASHION

HALF, PAIRS = Pattern(0.5), Pattern.named("2:4", 0.9)
PATTERNS = pytest.mark.parametrize("pattern", [HALF, PAIRS, Pattern(0.3)])


class Layer:
    """Ten outputs of 196 pixels of Fashion-MNIST, fitted to the classes by least squares."""

    def __init__(self) -> None:
        arrays = np.load(FASHION)
        pictures, labels = (torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays.files)
        pixels = torch.nn.functional.avg_pool2d(pictures / 255, 2).flatten(1)
        self.known, self.new = pixels[:2000], pixels[2000:]
        wanted = torch.nn.functional.one_hot(labels.long(), 10).float()[:2000]
        gram = self.known.T @ self.known
        self.weight = torch.linalg.solve(gram + 0.1 * torch.eye(len(gram)), self.known.T @ wanted).T.contiguous()
        self.seen = Inputs(torch.zeros(196), torch.zeros(196, 196))
        self.seen.add(self.known)

    def error(self, weight: Tensor) -> float:
        """Of the outputs on pictures that no method has seen, relative to the outputs."""
        wanted = self.new @ self.weight.T
        return float((self.new @ weight.T - wanted).square().sum() / wanted.square().sum())


@pytest.fixture(scope="module")
def layer() -> Layer:
    return Layer()


def magnitude(layer: Layer, pattern: Pattern) -> Tensor:
    return layer.weight.masked_fill(pattern.lowest(layer.weight.abs(), by_row=False), 0.0)


@PATTERNS
def test_methods_that_use_inputs_preserve_more_of_the_output_than_magnitude(layer: Layer, pattern: Pattern):
    plain, scaled, refitted = (
        layer.error(weight)
        for weight in (
            magnitude(layer, pattern),
            wanda(layer.weight, layer.seen, pattern),
            sparse_gpt(layer.weight, layer.seen, pattern),
        )
    )
    assert refitted < 0.5 * scaled < 0.5 * plain


@PATTERNS
def test_the_pattern_is_exact(layer: Layer, pattern: Pattern):
    for weight in (magnitude(layer, pattern), sparse_gpt(layer.weight, layer.seen, pattern)):
        assert int((weight == 0).sum()) == round(pattern.share * 1960)
        assert pattern.fault(weight) is None
    by_row = (wanda(layer.weight, layer.seen, pattern) == 0).sum(1)
    assert by_row.tolist() == [round(pattern.share * 196)] * 10


def test_two_in_four_is_two_in_every_four(layer: Layer):
    groups = sparse_gpt(layer.weight, layer.seen, PAIRS).reshape(-1, 4)
    assert ((groups == 0).sum(1) == 2).all()


def test_sparse_gpt_does_not_change_weights_if_nothing_is_removed(layer: Layer):
    assert torch.equal(sparse_gpt(layer.weight, layer.seen, Pattern(0.0)), layer.weight)


def test_weights_of_inputs_that_are_always_zero_are_removed_first(layer: Layer):
    gram = layer.seen.gram.clone()
    gram[:20], gram[:, :20] = 0, 0
    assert (sparsegpt.prune(layer.weight, gram, Pattern(0.5))[:, :20] == 0).all()


def test_one_weight_too_many_is_found():
    weight = torch.tensor([[1.0, 0, 0, 1], [1, 1, 1, 0]])
    assert PAIRS.fault(weight) == "1 of its groups of 4 keep more than 2 weights"
    assert HALF.fault(weight) == "3 of its weights are zero, not 4"


def test_layers_that_affect_the_output_less_become_sparser():
    scores = torch.rand(4000, generator=torch.Generator().manual_seed(0))
    shares = allocate({"quiet": Curve.of(scores, 0.5, 0.01), "loud": Curve.of(scores, 0.5, 0.1)}, 0.5)
    assert shares["quiet"] > 0.55 > 0.45 > shares["loud"]
    assert sum(shares.values()) / 2 == pytest.approx(0.5, abs=0.001)


def test_a_block_is_one_stage_and_so_is_a_layer_outside_of_blocks():
    order = ["entry", "layers.0.q", "layers.0.k", "layers.1.q", "layers.0.q", "exit"]
    assert stages(order) == [("entry",), ("layers.0.q", "layers.0.k"), ("layers.1.q",), ("exit",)]
