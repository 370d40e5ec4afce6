"""How much noise each layer's sparsity causes at the model's output, measured on a few calibration batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.sparsity.allocation import Curve, allocate
from apps.agents.backends.torch.sparsity.calibrating import Batch, observe
from apps.agents.backends.torch.sparsity.methods import matrix, put, wanda, wanda_scores
from apps.agents.backends.torch.sparsity.patterns import Pattern

PROBED = 4
"""Calibration batches on which the noise is measured."""
_SMALLEST = 1e-12


def measured_shares(
    model: TorchModel, batches: Sequence[Batch], layers: Mapping[str, nn.Module], order: Sequence[str], share: float
) -> dict[str, float]:
    """The share of zeros for each layer, `share` over all of them, so that the output loses least."""
    seen = observe(model, batches, layers, order, whole=False)
    probes = batches[:PROBED]
    before = _outputs(model, probes)
    curves = {}
    for name, layer in layers.items():
        weight = matrix(layer)
        put(layer, wanda(weight, seen[name], Pattern(share)))
        noise = _noise(before, _outputs(model, probes))
        put(layer, weight)
        curves[name] = Curve.of(wanda_scores(weight, seen[name]), share, noise)
    return allocate(curves, share)


def _outputs(model: TorchModel, batches: Sequence[Batch]) -> list[Tensor]:
    with torch.inference_mode():
        return [output for batch in batches for output in model.call(batch)]


def _noise(before: Sequence[Tensor], after: Sequence[Tensor]) -> float:
    """The squared error as a share of the squared outputs."""
    lost = sum(float((new - old).double().square().sum()) for old, new in zip(before, after, strict=True))
    return lost / max(sum(float(old.double().square().sum()) for old in before), _SMALLEST)
