"""Small networks of the samples' kinds with other widths, trained in about a minute each on 3,000 sample images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from samples import train as sample
from samples.train import Classifier, Residual, convolution

TRAINED_ON = 3000


def _residual(narrow: int, wide: int) -> Classifier:
    blocks = [Residual(narrow // 2, narrow, 1), Residual(narrow, wide, 2), *convolution(wide, wide, 5), nn.ReLU()]
    return Classifier([*convolution(1, narrow // 2, 3, 2), nn.ReLU()], blocks, wide)


def _plain(width: int) -> Classifier:
    """Convolutions one after the other, without a shortcut (after Simonyan and Zisserman, 2015, arXiv:1409.1556)."""
    blocks = [
        *convolution(width, 2 * width, 3),
        nn.ReLU(),
        *convolution(2 * width, 4 * width, 3, 2),
        nn.ReLU(),
        *convolution(4 * width, 4 * width, 3),
        nn.ReLU(),
    ]
    return Classifier([*convolution(1, width, 3, 2), nn.ReLU()], blocks, 4 * width)


class Attention(nn.Module):
    """A block of a vision transformer (Dosovitskiy et al., 2021, arXiv:2010.11929)."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.norms = heads, nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.queries, self.keys, self.values, self.joined = (nn.Linear(width, width) for _ in range(4))
        self.wide = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norms[0](x)
        queries, keys, values = (
            layer(normed).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer in (self.queries, self.keys, self.values)
        )
        weights = (queries @ keys.transpose(2, 3) / queries.shape[3] ** 0.5).softmax(3)
        x = x + self.joined((weights @ values).transpose(1, 2).flatten(2))
        found: Tensor = x + self.wide(self.norms[1](x))
        return found


class Encoder(Classifier):
    """Sixteen patches of seven by seven pixels, blocks of attention, the mean over the patches, one linear layer."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__([nn.Conv2d(1, width, 7, 7)], [Attention(width) for _ in range(depth)], width)
        self.places = nn.Parameter(torch.randn(1, 16, width) * 0.02)

    def forward(self, image: Tensor) -> Tensor:
        patches = self.stem(image).flatten(2).transpose(1, 2) + self.places
        logits: Tensor = self.head(self.blocks(patches).mean(1))
        return logits

    def take_raw_pixels(self) -> None:
        with torch.no_grad():
            self.stem[0].weight.mul_(sample.PIXEL_SCALE)


VARIANTS: dict[str, tuple[Callable[[], Classifier], int]] = {
    "resnet_narrow": (lambda: _residual(48, 64), 8),
    "encoder_wide": (lambda: Encoder(96, 3), 6),
    "encoder_deep": (lambda: Encoder(64, 6), 6),
    "plain": (lambda: _plain(32), 10),
}
"""By name: how it is built, and how many epochs it is trained."""


def train_variant(name: str, folder: Path) -> Path:
    """Trains one of `VARIANTS` on the first sample images, and writes it as ONNX."""
    build, epochs = VARIANTS[name]
    with np.load(Path(sample.__file__).parent / "fashion_mnist_test.npz") as stored:
        images, labels = stored["image"][:TRAINED_ON], stored["y"][:TRAINED_ON]
    recipe = replace(sample.RECIPES[1], name=name, build=build, epochs=epochs, batch_size=64, peak_rate=0.1)
    model = sample.train(recipe, torch.tensor(images), torch.tensor(labels, dtype=torch.int64))
    model.take_raw_pixels()
    path = folder / f"{name}.onnx"
    sample.export(model, path)
    return path
