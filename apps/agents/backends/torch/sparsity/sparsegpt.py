"""SparseGPT: each weight that becomes zero is compensated for by those after it in its row.

Frantar and Alistarh 2023, https://arxiv.org/abs/2301.00774, algorithm 1. The remaining weights of a
row are adjusted so that the layer's output changes least on the calibration examples. The Gram matrix of the layer's
inputs determines by how much.
"""

from __future__ import annotations

import torch
from torch import Tensor

from apps.agents.backends.torch.sparsity.patterns import Pattern

DAMPING = 0.01
"""Added to the Gram matrix's diagonal, as a share of its mean: the paper's setting."""
BLOCK = 128
"""Columns whose weights are chosen together, and whose errors are passed on to later columns together."""


def prune(weight: Tensor, gram: Tensor, pattern: Pattern) -> Tensor:
    """`weight`, `[rows, columns]` float32, with zeros in `pattern` and the rest refitted.

    `gram`: the sum of x xᵀ over the layer's inputs, `[columns, columns]`. With a share of 0 the weights are unchanged.
    """
    left, silent = weight.clone(), gram.diagonal() == 0
    inverse = _inverse_factor(gram, silent)
    columns, chosen = weight.shape[1], 0
    for start in range(0, columns, BLOCK):
        end = min(start + BLOCK, columns)
        count = pattern.zeros(weight.shape[0] * end) - chosen
        errors = _block(left, inverse, silent, slice(start, end), pattern, count)
        left[:, end:] -= errors @ inverse[start:end, end:]
        chosen += count
    return left


def _block(left: Tensor, inverse: Tensor, silent: Tensor, part: slice, pattern: Pattern, count: int) -> Tensor:
    """Prune the columns `part` of `left` in place. Returns their errors, `[rows, columns of the block]`."""
    block, factor = left[:, part], inverse[part, part]
    errors = torch.zeros_like(block)
    zeros = None if pattern.group else _lowest(_scores(block, factor, silent[part]), count)
    for column in range(block.shape[1]):
        if pattern.group and column % pattern.group == 0:
            group = slice(column, column + pattern.group)
            scores = _scores(block[:, group], factor[group, group], silent[part][group])
            zeros = _placed(pattern.lowest(scores, by_row=True), column, block)
        assert zeros is not None
        kept = torch.where(zeros[:, column], 0.0, block[:, column])
        errors[:, column] = (block[:, column] - kept) / factor[column, column]
        block[:, column:] -= errors[:, column : column + 1] * factor[column, column:]
        block[:, column] = kept
    return errors


def _scores(block: Tensor, factor: Tensor, silent: Tensor) -> Tensor:
    """What the output loses without each weight, after compensation by the others; 0 if the input is always 0."""
    return torch.where(silent, 0.0, block.square() / factor.diagonal().square())


def _lowest(scores: Tensor, count: int) -> Tensor:
    places = scores.flatten().argsort(stable=True)[:count]
    zeros = torch.zeros(scores.numel(), dtype=torch.bool)
    zeros[places] = True
    return zeros.reshape(scores.shape)


def _placed(zeros: Tensor, column: int, block: Tensor) -> Tensor:
    """The choice of one group in the place of its columns."""
    whole = torch.zeros_like(block, dtype=torch.bool)
    whole[:, column : column + zeros.shape[1]] = zeros
    return whole


def _inverse_factor(gram: Tensor, silent: Tensor) -> Tensor:
    """The upper Cholesky factor of the damped Gram matrix's inverse, in float32."""
    damped = gram.double()
    damped.diagonal()[silent] = 1.0
    damped.diagonal().add_(DAMPING * damped.diagonal().mean())
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    return torch.linalg.cholesky(inverse, upper=True).float()
