"""Small transformers over the 16 patches of square pictures, each with attention written in another way."""

from __future__ import annotations

import math

import torch
from torch import nn

WIDTH, HEADS, PATCHES = 32, 4, 16


class Library(nn.Module):
    """PyTorch's own layers: queries, keys and values side by side in one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 64, dropout=0.1, batch_first=True, norm_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)  # type: ignore[no-any-return]


class LengthFirst(nn.Module):
    """PyTorch's attention, with examples along the second axis."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, HEADS)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.transpose(0, 1)
        return self.norm(x + self.attention(x, x, x, need_weights=False)[0]).transpose(0, 1)  # type: ignore[no-any-return]


class Apart(nn.Module):
    """One layer each for queries, keys and values, as in the transformers library; products written out."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        queries, keys, values = (self._heads(layer(x)) for layer in (self.query, self.key, self.value))
        weights = (queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1])).softmax(-1)
        return x + self.out((weights @ values).transpose(1, 2).reshape(x.shape))

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(*x.shape[:2], HEADS, -1).transpose(1, 2)


class SideBySide(nn.Module):
    """One layer whose outputs are those of each head in turn, split along their last axis."""

    def __init__(self) -> None:
        super().__init__()
        self.all = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        every = self.all(x).view(*x.shape[:2], HEADS, -1).transpose(1, 2)
        found = nn.functional.scaled_dot_product_attention(*every.chunk(3, -1))
        return x + self.out(found.transpose(1, 2).flatten(2))


class Biased(Apart):
    """With a bias of its own for each head, as relative positions are: its heads cannot go."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(HEADS, PATCHES, PATCHES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        queries, keys, values = (self._heads(layer(x)) for layer in (self.query, self.key, self.value))
        weights = (queries @ keys.transpose(-1, -2) + self.positions).softmax(-1)
        return x + self.out((weights @ values).transpose(1, 2).reshape(x.shape))


class Attending(nn.Module):
    """Pictures [N, channels, 4 side, 4 side] to logits, by way of two attentions of `kind`."""

    def __init__(self, kind: type[nn.Module], channels: int = 3, side: int = 2, classes: int = 5) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, WIDTH, side, stride=side)
        self.layers = nn.Sequential(kind(), kind())
        self.head = nn.Linear(WIDTH, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.layers(rows).mean(1))  # type: ignore[no-any-return]
