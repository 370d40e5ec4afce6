"""The three ways to choose weights, layer by layer. Each changes the layers in place.

Magnitude: Han et al. 2015, https://arxiv.org/abs/1506.02626. Wanda: Sun et al. 2023, https://arxiv.org/abs/2306.11695.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from apps.agents.backends.torch.sparsity import sparsegpt
from apps.agents.backends.torch.sparsity.calibrating import Inputs
from apps.agents.backends.torch.sparsity.patterns import Pattern

Layers = Mapping[str, nn.Module]
Prune = Callable[[Tensor, Inputs, Pattern], Tensor]
"""From a weight `[rows, columns]` in float32, the inputs of its layer, and the pattern: the sparse weight."""


def wanda_scores(weight: Tensor, seen: Inputs) -> Tensor:
    """|w| times the root mean square of its input, `[rows, columns]`."""
    return weight.abs() * (seen.squares / max(1, seen.rows)).sqrt()


def wanda(weight: Tensor, seen: Inputs, pattern: Pattern) -> Tensor:
    """The lowest scores of each row become zero; the others keep their values."""
    return weight.masked_fill(pattern.lowest(wanda_scores(weight, seen), by_row=True), 0.0)


def sparse_gpt(weight: Tensor, seen: Inputs, pattern: Pattern) -> Tensor:
    """Weights become zero where the refitted rest compensates best."""
    assert seen.gram is not None
    return sparsegpt.prune(weight, seen.gram, pattern)


def by_magnitude(layers: Layers, pattern: Pattern, *, across: bool) -> None:
    """The smallest weights become zero, of each layer or of all layers together (`across`)."""
    weights = {name: matrix(layer) for name, layer in layers.items()}
    if across and pattern.group is None:
        sizes = [weight.numel() for weight in weights.values()]
        pooled = torch.cat([weight.abs().flatten() for weight in weights.values()])[None]
        chosen = pattern.lowest(pooled, by_row=False)[0].split(sizes)
        zeros = {name: part.reshape(weights[name].shape) for name, part in zip(weights, chosen, strict=True)}
    else:
        zeros = {name: pattern.lowest(weight.abs(), by_row=False) for name, weight in weights.items()}
    for name, layer in layers.items():
        put(layer, weights[name].masked_fill(zeros[name], 0.0))


def matrix(layer: nn.Module) -> Tensor:
    """A copy of the layer's weight in float32, `[rows, columns]`. A row of a kernel makes one channel."""
    weight: Tensor = layer.weight
    return weight.detach().flatten(1).float().clone()


def put(layer: nn.Module, weight: Tensor) -> None:
    """Store this weight in the layer, in the layer's shape and number type."""
    own: Tensor = layer.weight
    with torch.no_grad():
        own.copy_(weight.reshape(own.shape).to(own.dtype))
