"""Keeps only the middle of large convolution kernels: 3×3 of 5×5 is 36 % of the work, whatever the widths.

Whole positions of a kernel are one of the structures that Wen et al. 2016 (https://arxiv.org/abs/1608.03665) remove.
Padding shrinks with the kernel, so every output keeps its shape and its place.
"""

from __future__ import annotations

import copy

from torch import nn


def trimmed(module: nn.Module, side: int) -> tuple[nn.Module, int]:
    """A copy of `module` whose convolutions have at most `side` taps along each axis, and how many were trimmed.

    A kernel stays as it is if its padding does not reach as far as what would go, or if an even number of taps would
    have to lose an odd one.
    """
    made = copy.deepcopy(module)
    layers = [part for part in made.modules() if isinstance(part, (nn.Conv1d, nn.Conv2d, nn.Conv3d))]
    return made, sum(_trim(layer, side) for layer in layers)


def _trim(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d, side: int) -> bool:
    goes = [max(0, length - side) for length in layer.kernel_size]
    padded = layer.padding_mode == "zeros" and layer.padding != "valid"
    if not padded or not any(goes) or any(gone % 2 for gone in goes):
        return False
    rims = [gone // 2 for gone in goes]
    if not isinstance(layer.padding, str):  # "same" follows the kernel by itself.
        padding = [pad - rim * step for pad, rim, step in zip(layer.padding, rims, layer.dilation, strict=True)]
        if min(padding) < 0:
            return False
        layer.padding = tuple(padding)
    weight = layer.weight
    inner = (slice(rim, length - rim) for rim, length in zip(rims, layer.kernel_size, strict=True))
    layer.weight = nn.Parameter(weight.detach()[(..., *inner)].clone(), requires_grad=weight.requires_grad)
    layer.kernel_size = tuple(layer.weight.shape[2:])
    return True
