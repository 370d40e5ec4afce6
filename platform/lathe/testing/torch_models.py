"""PyTorch models of a size, and the exported programs that a member would upload."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from lathe.testing.widths import width_for


def perceptron(megabytes: float, columns: int = 16, classes: int = 10, seed: int = 0) -> nn.Module:
    """Float32 [N, columns] → three layers → [N, classes]."""
    width = width_for(megabytes, 1, columns + classes + 2, classes)
    layers = nn.Linear(columns, width), nn.Linear(width, width), nn.Linear(width, classes)
    return _seeded(nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2]), seed)


def convolutional(megabytes: float, channels: int = 3, classes: int = 10, layers: int = 4, seed: int = 0) -> nn.Module:
    """Float32 [N, channels, height, width] → 3×3 convolutions, a mean over the picture → [N, classes]."""
    width = width_for(megabytes, 9 * layers, 9 * channels + layers + 1 + classes, classes)
    parts: list[nn.Module] = []
    for layer in range(layers + 1):
        parts += [nn.Conv2d(width if layer else channels, width, 3, padding=1), nn.ReLU()]
    return _seeded(nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)), seed)


def exported(model: nn.Module, shape: tuple[int, ...], path: Path) -> Path:
    """The model as `torch.export.save` writes it, for batches of any size of examples of `shape`."""
    batch = torch.export.Dim("batch", min=1, max=4096)
    example = torch.zeros(2, *shape)
    torch.export.save(torch.export.export(model, (example,), dynamic_shapes=({0: batch},)), path)
    return path


def _seeded(model: nn.Module, seed: int) -> nn.Module:
    """The model with weights that depend on nothing but the seed, ready to answer."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for one in model.parameters():
            inputs = one[0].numel() if one.dim() > 1 else 1
            one.copy_(torch.randn(one.shape, generator=generator) * (2 / inputs) ** 0.5 if one.dim() > 1 else one * 0)
    return model.eval()
